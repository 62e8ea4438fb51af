// Shows what the digests would have been while a visitor says what she reads. Without this script,
// or where that is more than an address holds, she presses "Show me". Her email address takes no
// part in it.
const form = document.querySelector("form[data-preview]");
const part = document.getElementById("digest");
const told = document.getElementById("told");
const WISHES = ["topics", "interests"];
const LONGEST = 3000; // Characters of an address that every server takes.
const PAUSE = 400; // Milliseconds without another letter.

let shown = asked(asSent());
let waiting;
let asking;

// What the page was made for, whatever the browser has put into its form since.
function asSent() {
  return [...form.elements]
    .filter((field) => field.type !== "checkbox" || field.defaultChecked)
    .map((field) => [field.name, field.type === "checkbox" ? field.value : field.defaultValue]);
}

function asked(entries) {
  const wishes = new URLSearchParams();
  for (const [name, value] of entries) {
    if (WISHES.includes(name) && value.trim()) wishes.append(name, value.trim());
  }
  wishes.sort();
  return wishes.toString().replaceAll("%0D%0A", "%0A");
}

function chosen() {
  return asked(new FormData(form));
}

async function show() {
  clearTimeout(waiting);
  const wishes = chosen();
  asking?.abort();
  part.removeAttribute("aria-busy");
  if (wishes === shown) return;
  if (wishes.length > LONGEST) {
    told.textContent = form.dataset.long;
    return;
  }
  asking = new AbortController();
  part.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`${form.dataset.preview}?${wishes}`, { signal: asking.signal });
    if (!answer.ok) throw new Error(answer.status);
    part.innerHTML = await answer.text();
    shown = wishes;
    history.replaceState(null, "", wishes ? `${form.dataset.home}?${wishes}` : form.dataset.home);
    told.textContent = part.querySelector("[data-told]")?.textContent ?? "";
  } catch (error) {
    if (error.name === "AbortError") return;
    told.textContent = form.dataset.failed;
  }
  part.removeAttribute("aria-busy");
}

form.addEventListener("input", (event) => {
  if (!WISHES.includes(event.target.name)) return;
  clearTimeout(waiting);
  waiting = setTimeout(show, event.target.type === "checkbox" ? 0 : PAUSE);
});

form.querySelector("[formaction]").addEventListener("click", async (event) => {
  if (chosen().length > LONGEST) return; // The form is sent.
  event.preventDefault();
  await show();
  part.focus();
});

addEventListener("pageshow", show); // Browsers put back what was chosen on an earlier visit.
