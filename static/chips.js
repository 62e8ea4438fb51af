// Edits the text of a field by the buttons that the server made for its entries. Without this script, the buttons send the
// form.
for (const box of document.querySelectorAll("[data-chips]")) begin(box, box.querySelector("textarea"));

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function linesOf(text) {
  return text.split("\n").map((line) => line.trim().replace(/\s+/g, " ")).filter(Boolean);
}

// Strikes a phrase out wherever it stands, or brings it back.
function toggled(text, phrase) {
  if (text.includes(`~~${phrase}~~`)) return text.replaceAll(`~~${phrase}~~`, phrase);
  const literal = RegExp.escape?.(phrase) ?? phrase.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\p{L}\\d-])${literal}(?![\\p{L}\\d-])`, "giu"), "~~$&~~");
}

function begin(box, area) {
  acceptFile(area);
  const list = box.querySelector(".entries");
  if (!list) return;
  const undone = element("p", { className: "small", hidden: true });
  undone.setAttribute("role", "status");
  list.after(undone);
  const chips = () => [...list.querySelectorAll("[data-line]")].sort((a, b) => a.dataset.number - b.dataset.number);

  function set(text) {
    undone.hidden = true;
    area.value = text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Puts other lines in place of an entry's. What was typed stays, unless it is how the entry was read.
  function replace(place, text) {
    const lines = linesOf(area.value);
    const { line } = chips()[place]?.dataset ?? {};
    const written = chips().map((chip) => chip.dataset.line);
    const isTyped = line === undefined || lines.includes(line);
    const all = isTyped ? lines : written;
    const found = line === undefined ? all.length : all.indexOf(line);
    set([...new Set(all.toSpliced(found, 1, ...linesOf(text)))].join("\n"));
  }

  function remove(place) {
    const before = area.value;
    const chip = chips()[place];
    replace(place, "");
    const undo = element("button", { type: "button", className: "plain" }, box.dataset.undo);
    undo.addEventListener("click", () => set(before));
    undone.replaceChildren(`${box.dataset.removed} ${chip.querySelector(".line").textContent} `, undo);
    undone.hidden = false;
    chip.hidden = true; // Until the server has read the others.
    undo.focus();
  }

  area.form.addEventListener("click", (event) => {
    const button = event.target.closest(`button[name="edit_${area.name}"]`);
    if (!button) return;
    event.preventDefault();
    const [, number, sign, text] = button.value.match(/^(\d+)([:~])([^]*)$/);
    if (sign === "~") set(toggled(area.value, text));
    else if (text) replace(Number(number), text);
    else remove(Number(number));
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

// A bibliography may be dropped as a file.
function acceptFile(area) {
  area.parentElement.addEventListener("dragover", (event) => event.preventDefault());
  area.parentElement.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    area.value = `${area.value}\n${await textOf(file)}`.trim();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
