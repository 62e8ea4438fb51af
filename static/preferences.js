// Switches the tabs of the preferences without loading the page, so that no unsaved change is lost, and
// shows what a change would bring before it is saved. Without this script, tabs are links and a button
// asks for the preview.
const PAUSE = 500; // Milliseconds without another change.
const tabs = [...document.querySelectorAll(".sections a")];
const forms = [...document.querySelectorAll("form.settings")];
let saving; // The form that is being saved.

function open(tab) {
  const name = new URL(tab.href).searchParams.get("tab");
  for (const link of tabs) link.removeAttribute("aria-current");
  tab.setAttribute("aria-current", "page");
  for (const panel of document.querySelectorAll(".panels > *")) {
    panel.classList.toggle("is-open", panel.id === name);
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (location.hash) location.replace("#"); // No panel is a target any more.
    history.replaceState(null, "", tab.href);
    open(tab);
  });
}

// A link to a field, such as #pause, opens its tab.
function openTarget() {
  const panel = document.getElementById(location.hash.slice(1))?.closest(".panels > *");
  if (panel) open(tabs.find((tab) => tab.href.endsWith(`tab=${panel.id}`)));
}
openTarget();
addEventListener("hashchange", openTarget);

// What is saved, whatever the browser has put into the form since.
function asSent(form) {
  const fields = [...form.elements].filter((field) => field.name && field.type !== "submit");
  const values = fields.flatMap((field) => {
    if (field.type === "checkbox") return field.defaultChecked ? [field.value] : [];
    if (field.options) {
      const chosen = [...field.options].filter((one) => one.defaultSelected);
      return [(chosen[0] ?? field.options[0]).value]; // Where none was, browsers send the first.
    }
    return [field.defaultValue];
  });
  return values.join("\n").replaceAll("\r\n", "\n");
}

function asIs(form) {
  return [...new FormData(form).values()].join("\n").replaceAll("\r\n", "\n");
}

function watch(form) {
  const told = form.querySelector(".change");
  const ask = form.querySelector('[value^="preview"]');
  let shown = asSent(form);
  let waiting;
  let asking;

  // Shows the answer: what would change, and how the entries are read.
  function put(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const part of form.querySelectorAll(".change, .entries")) {
      const { innerHTML } = page.getElementById(part.id);
      if (part.innerHTML !== innerHTML) part.innerHTML = innerHTML; // Else a button keeps its focus.
    }
    if (asIs(form) === asSent(form)) told.textContent = "";
  }

  async function show() {
    clearTimeout(waiting);
    const wanted = asIs(form);
    if (wanted === shown) return;
    asking?.abort();
    shown = wanted;
    document.querySelector(".notice.good")?.remove(); // "Saved." was about what stood here before.
    asking = new AbortController();
    told.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.getAttribute("action"), {
        method: "POST",
        body: new URLSearchParams(new FormData(form, ask)),
        signal: asking.signal,
      });
      if (answer.ok) put(await answer.text());
      else told.textContent = answer.status === 400 ? form.dataset.wrong : form.dataset.failed;
    } catch (error) {
      if (error.name === "AbortError") return;
      told.textContent = form.dataset.failed;
    }
    told.removeAttribute("aria-busy");
  }

  ask.hidden = true;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(show, event.isTrusted ? PAUSE : 0); // At once after a change of a chip.
  });
  form.addEventListener("submit", (event) => {
    if (!event.defaultPrevented) saving = form;
  });
  addEventListener("pageshow", show); // Browsers put back what was chosen on an earlier visit.
}

forms.forEach(watch);

addEventListener("beforeunload", (event) => {
  const isUnsaved = (form) => form !== saving && asIs(form) !== asSent(form);
  if (forms.some(isUnsaved)) event.preventDefault(); // The browser asks whether to leave.
});

// Browsers show a date in the order of their own language: say it in words.
const until = document.getElementById("id_pause_until");
const resume = document.getElementById("id_pause_until_hint");
const plain = resume.textContent;
until.addEventListener("input", () => {
  const words = { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
  const { lang } = document.documentElement;
  const day = until.valueAsDate?.toLocaleDateString(lang === "en" ? "en-GB" : lang, words);
  resume.textContent = day ? resume.dataset.resume.replace("%s", day) : plain;
});
