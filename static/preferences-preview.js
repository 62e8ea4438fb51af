// Says what a change of the preferences would bring, before it is saved. Without this script, there is
// a button that asks.
const form = document.querySelector("form.settings");
const told = document.getElementById("preview");
const PAUSE = 500; // Milliseconds without another change.

let shown = asSent();
let waiting;
let asking;

form.querySelector('[value="preview"]').hidden = true;

// What is saved, whatever the browser has put into the form since.
function asSent() {
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

function asIs() {
  return [...new FormData(form).values()].join("\n").replaceAll("\r\n", "\n");
}

async function show() {
  clearTimeout(waiting);
  const wanted = asIs();
  if (wanted === shown) return;
  asking?.abort();
  shown = wanted;
  if (wanted === asSent()) {
    told.replaceChildren();
    return;
  }
  document.querySelector(".notice.good")?.remove(); // "Saved." was said of what stood here before.
  asking = new AbortController();
  const sent = new URLSearchParams(new FormData(form));
  sent.set("action", "preview");
  try {
    const answer = await fetch(`${form.getAttribute("action")}?part`, {
      method: "POST",
      body: sent,
      signal: asking.signal,
    });
    if (answer.ok) told.innerHTML = await answer.text();
    else told.textContent = answer.status === 400 ? form.dataset.wrong : form.dataset.failed;
  } catch (error) {
    if (error.name === "AbortError") return;
    told.textContent = form.dataset.failed;
  }
}

form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(show, PAUSE);
});

addEventListener("pageshow", show); // Browsers put back what was chosen on an earlier visit.
