// Shows the lines of a text area as chips, each with its papers of the last week where the server
// counts them. Enter adds a chip. Without this script, there is the text area, one line a chip.
for (const box of document.querySelectorAll("[data-chips]")) begin(box, box.querySelector("textarea"));

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function linesOf(text) {
  const lines = text.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
  return [...new Set(lines.filter(Boolean))];
}

function begin(box, area) {
  const { add, edit, remove, count } = box.dataset;
  const counts = {};
  const list = element("ul", { className: "chips" });
  const input = element("input", { type: "text", id: area.id, autocomplete: "off" });
  const button = element("button", { type: "button", className: "plain", textContent: add });
  input.placeholder = area.placeholder;
  for (const name of ["aria-describedby", "aria-invalid"]) {
    if (area.hasAttribute(name)) input.setAttribute(name, area.getAttribute(name));
  }
  area.removeAttribute("id");
  area.hidden = true;
  area.before(list, element("div", { className: "row ask" }, input, button));
  if (area.autofocus) input.focus();

  function chip(line) {
    const label = element("button", { type: "button", className: "line", title: edit }, line);
    label.dir = "auto";
    label.addEventListener("click", () => {
      keep();
      input.value = line;
      set(linesOf(area.value).filter((other) => other !== line));
      input.focus();
    });
    const cross = element("button", { type: "button", className: "cross" }, "×");
    cross.setAttribute("aria-label", `${remove}: ${line}`);
    cross.addEventListener("click", () => {
      set(linesOf(area.value).filter((other) => other !== line));
      input.focus();
    });
    const papers = line in counts ? [element("span", {}, count.replace("%s", counts[line]))] : [];
    return element("li", {}, label, ...papers, cross);
  }

  function draw() {
    list.replaceChildren(...linesOf(area.value).map(chip));
    list.hidden = !list.children.length;
  }

  function set(lines) {
    area.value = lines.join("\n");
    draw();
    area.dispatchEvent(new Event("input", { bubbles: true }));
    ask();
  }

  // Adds what was typed, so that nothing is lost when the form is sent.
  function keep() {
    if (!input.value.trim()) return;
    const typed = input.value;
    input.value = "";
    set(linesOf(`${area.value}\n${typed}`));
  }

  async function ask() {
    if (!count || linesOf(area.value).every((line) => line in counts)) return;
    const body = new URLSearchParams({ action: "count", interests: area.value });
    try {
      const answer = await fetch(area.form.getAttribute("action"), { method: "POST", body });
      if (answer.ok) Object.assign(counts, await answer.json());
      draw();
    } catch {} // Without counts.
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
    const typed = input.value;
    input.value = "";
    set(linesOf(`${area.value}\n${typed}\n${text}`));
  });
  button.addEventListener("click", keep);
  area.form.addEventListener("submit", keep);
  addEventListener("pageshow", draw); // Browsers put back what was typed on an earlier visit.
  draw();
  ask();
}
