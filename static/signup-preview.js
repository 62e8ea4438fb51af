// Shows how it is read, and the digest for it, while a visitor types. Without this script, they press "Preview". The email address
// is never sent along.
const form = document.querySelector("form[data-preview]");
const part = document.getElementById("digest");
const read = document.getElementById("entries_interests");
const told = document.getElementById("told");
const FIELDS = ["topics", "interests"];
const MAX_LENGTH = 3000; // Characters of a URL that every server takes. More are posted.
const PAUSE = 400; // Milliseconds after the last key.

let shown = query(initial());
let waiting;
let asking;

// What the page was made for, whatever the browser has put into its form since.
function initial() {
  return [...form.elements]
    .filter((field) => field.type !== "checkbox" || field.defaultChecked)
    .map((field) => [field.name, field.type === "checkbox" ? field.value : field.defaultValue]);
}

function query(entries) {
  const wanted = new URLSearchParams();
  for (const [name, value] of entries) {
    if (FIELDS.includes(name) && value.trim()) wanted.append(name, value.trim());
  }
  wanted.sort();
  return wanted.toString().replaceAll("%0D%0A", "%0A");
}

function current() {
  return query(new FormData(form));
}

// What the digest itself says is only read out.
function say(text, { isInDigest = false, isButtonNeeded = false, isBusy = false } = {}) {
  told.textContent = text;
  told.classList.toggle("unseen", isInDigest);
  told.parentElement.classList.toggle("needed", isButtonNeeded);
  part.toggleAttribute("aria-busy", false);
  if (isBusy) part.setAttribute("aria-busy", "true");
}

async function show() {
  clearTimeout(waiting);
  asking?.abort(); // A late answer is dropped.
  const wanted = current();
  if (wanted === shown) return say("");
  say(form.dataset.pending, { isBusy: true });
  asking = new AbortController();
  try {
    const isLong = wanted.length > MAX_LENGTH;
    const { signal } = asking;
    const answer = isLong
      ? await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(wanted), signal })
      : await fetch(`${form.dataset.preview}?${wanted}`, { signal });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const one of [read, part]) {
      const { innerHTML } = page.getElementById(one.id);
      if (one.innerHTML !== innerHTML) one.innerHTML = innerHTML; // Else a button keeps its focus.
    }
    shown = wanted;
    history.replaceState(null, "", wanted && !isLong ? `${form.dataset.home}?${wanted}` : form.dataset.home);
    say(part.querySelector("[data-told]")?.textContent ?? "", { isInDigest: true });
  } catch (error) {
    if (error.name !== "AbortError") say(form.dataset.failed, { isButtonNeeded: true });
  }
}

form.addEventListener("input", (event) => {
  if (!FIELDS.includes(event.target.name)) return;
  clearTimeout(waiting);
  const isTyped = event.isTrusted && event.target.type !== "checkbox";
  if (current() !== shown) say(form.dataset.pending, { isBusy: true });
  waiting = setTimeout(show, isTyped ? PAUSE : 0);
});

form.querySelector(".show button").addEventListener("click", async (event) => {
  event.preventDefault();
  await show();
  part.focus();
});

addEventListener("pageshow", show); // Browsers put back what was typed on an earlier visit.
