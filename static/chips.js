// Edits the text of a field by the chips that the server made of it: a click edits an entry, × removes it,
// and other buttons write it anew. Where there is an "Add", an input adds entries, and the text area is
// hidden. Without this script, the buttons send the form, and the text area is edited.
for (const box of document.querySelectorAll("[data-chips]")) begin(box, box.querySelector("textarea"));

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function linesOf(text) {
  return text.split("\n").map((line) => line.trim().replace(/\s+/g, " ")).filter(Boolean);
}

function begin(box, area) {
  acceptFile(area);
  const list = box.querySelector(".entries");
  if (!list) return;
  const undone = element("p", { className: "small", hidden: true });
  undone.setAttribute("role", "status");
  list.after(undone);
  const chips = () => [...list.querySelectorAll("[data-line]")];
  if (box.dataset.add) addInput(box, area, list, set);

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

  function edit(chip) {
    const place = chips().indexOf(chip);
    const label = chip.querySelector(".line");
    const input = element("input", { type: "text", value: chip.dataset.line });
    input.setAttribute("aria-label", label.title);
    input.dir = "auto";
    label.replaceWith(input);
    input.focus();
    const end = () => {
      const isChanged = input.isConnected && input.value.trim() !== chip.dataset.line;
      input.replaceWith(label);
      if (isChanged) replace(place, input.value);
    };
    input.addEventListener("blur", end);
    input.addEventListener("input", (event) => event.stopPropagation());
    input.addEventListener("keydown", (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      if (event.key === "Escape") input.value = chip.dataset.line;
      input.blur();
    });
  }

  list.addEventListener("click", (event) => {
    const label = event.target.closest("a.line");
    if (!label) return;
    event.preventDefault();
    edit(label.closest("[data-line]"));
  });
  area.form.addEventListener("click", (event) => {
    const button = event.target.closest(`button[name="edit_${area.name}"]`);
    if (!button) return;
    event.preventDefault();
    const [number] = button.value.split(":", 1);
    const text = button.value.slice(number.length + 1);
    if (text) replace(Number(number), text);
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

function addInput(box, area, list, set) {
  const input = element("input", { type: "text", id: area.id, autocomplete: "off" });
  const button = element("button", { type: "button", className: "plain", textContent: box.dataset.add });
  input.placeholder = area.placeholder;
  for (const name of ["aria-describedby", "aria-invalid"]) {
    if (area.hasAttribute(name)) input.setAttribute(name, area.getAttribute(name));
  }
  area.removeAttribute("id");
  area.hidden = true;
  area.before(element("div", { className: "row ask" }, input, button));
  if (area.autofocus) input.focus();

  // Adds what was typed, so that nothing is lost when the form is sent.
  function keep(text = "") {
    const typed = [input.value, text].join("\n").trim();
    input.value = "";
    if (typed) set([area.value, typed].join("\n").trim());
  }

  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    keep();
  });
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (!text.trim().includes("\n")) return;
    event.preventDefault();
    keep(text);
  });
  button.addEventListener("click", () => keep());
  area.form.addEventListener("submit", () => keep());
}
