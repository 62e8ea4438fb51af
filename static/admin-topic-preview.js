// Shows which new papers match a topic while a curator writes it. Without this script, the button
// "Show matches" does it. Nothing is saved.
const form = document.getElementById("topic_form");
const part = document.getElementById("matches");
const said = document.getElementById("matches-said");
const FIELDS = ["query", "categories"];
const PAUSE = 400; // Milliseconds without another letter.

let shown = written("defaultValue"); // As the page came; it may have changed since.
let waiting;
let asking;

function written(value = "value") {
  return FIELDS.map((name) => form.elements[name][value]).join("\n\n");
}

async function show() {
  clearTimeout(waiting);
  asking?.abort();
  part.removeAttribute("aria-busy");
  const wanted = written();
  if (wanted === shown) return;
  asking = new AbortController();
  part.setAttribute("aria-busy", "true");
  const sent = new URLSearchParams({ topic: part.dataset.topic });
  for (const name of [...FIELDS, "csrfmiddlewaretoken"]) sent.set(name, form.elements[name].value);
  try {
    const answer = await fetch(part.dataset.url, {
      method: "POST",
      body: sent,
      signal: asking.signal,
    });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    part.innerHTML = await answer.text();
    shown = wanted;
    said.textContent = part.querySelector("[data-told]")?.textContent ?? "";
  } catch (error) {
    if (error.name === "AbortError") return;
    said.textContent = part.textContent = part.dataset.failed;
    shown = undefined;
  }
  part.removeAttribute("aria-busy");
}

for (const name of FIELDS) {
  form.elements[name].addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, PAUSE);
  });
}

document.querySelector("button[name=_matches]").addEventListener("click", (event) => {
  event.preventDefault();
  show();
});

addEventListener("pageshow", show); // Browsers put back what was written on an earlier visit.
