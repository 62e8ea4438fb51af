// The server changes the words by the buttons of entries, one after another; a change is made again if somebody typed meanwhile.
// Without this script, the buttons load the page. A bibliography may be dropped on the words as a file.
const form = document.querySelector("form:has([data-chips])");
const areas = [...form.querySelectorAll("[data-chips] textarea")];
let waiting = 0;
let last = Promise.resolve();

function words() {
  return areas.map((area) => area.value).join("\n\n");
}

function changed(area) {
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

async function change(address, name, value) {
  const before = words();
  const sent = new URLSearchParams(new FormData(form));
  sent.set(name, value);
  sent.delete("email"); // Only signing up needs it.
  const answer = await fetch(address, { method: "POST", body: sent });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok) throw new Error(answer.status);
  if (words() !== before) return change(address, name, value);
  for (const area of areas) area.value = page.getElementById(area.id).value;
  for (const part of form.querySelectorAll(".entries, .undone")) part.innerHTML = page.getElementById(part.id).innerHTML;
  const again = [...form.querySelectorAll(".entries button")].find((button) => button.value === value);
  (again ?? form.querySelector(".undone button"))?.focus();
  areas.forEach(changed);
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.name.startsWith("edit_")) {
    event.preventDefault();
    const { name, value } = button;
    const address = button.getAttribute("formaction") ?? form.getAttribute("action");
    const undone = document.getElementById(name.replace("edit", "undone"));
    waiting += 1;
    last = last
      .then(() => change(address, name, value))
      .catch(() => (undone.textContent = undone.dataset.failed))
      .finally(() => (waiting -= 1));
  } else if (waiting) {
    event.preventDefault();
    last.then(() => form.requestSubmit(button));
  }
});

for (const area of areas) {
  const field = area.parentElement;
  field.addEventListener("dragover", (event) => event.preventDefault());
  field.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    area.value = `${area.value}\n${await textOf(file)}`.trim();
    changed(area);
  });
}

// A file that is no UTF-8 is from a program that knew only the letters of Western Europe.
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
