// Keyboard shortcuts of pages with papers: j and k, o, s, / and ?. Whether they are used is stored in
// this browser. They do nothing while a field has the focus, or with a modifier key.
const dialog = document.getElementById("shortcuts");
const box = dialog.querySelector("input");
const opener = document.querySelector("[data-opens-shortcuts]");
const KEY = "shortcuts";
const papers = [...document.querySelectorAll("article.paper")];
let position = -1;

// Where a browser refuses to store anything, reading it throws.
function stored(value) {
  try {
    if (value) localStorage.setItem(KEY, value);
    return localStorage.getItem(KEY);
  } catch {
    return value ?? null;
  }
}

// The paper that has the focus, or had it last.
function current() {
  const focused = papers.indexOf(document.activeElement.closest("article.paper"));
  return focused < 0 ? position : focused;
}

function go(step) {
  papers[position]?.parentElement.removeAttribute("aria-current");
  position = Math.min(Math.max(current() + step, 0), papers.length - 1);
  const paper = papers[position];
  paper.parentElement.setAttribute("aria-current", "step");
  paper.querySelector(".paper-title a")?.focus({ preventScroll: true });
  paper.scrollIntoView({ block: "center" });
}

const actions = {
  j: () => go(1),
  k: () => go(-1),
  o: () => papers[current()]?.querySelector(".paper-title a")?.click(),
  s: () => papers[current()]?.querySelector('.say [value="save"]')?.click(),
  "?": () => dialog.showModal(),
  "/": () => {
    const field = document.querySelector('main input[type="search"]');
    if (field) field.focus();
    else location.assign(opener.dataset.opensShortcuts);
  },
};

box.checked = stored() !== "off";
box.addEventListener("change", () => stored(box.checked ? "on" : "off"));
if (papers.length) {
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    const isField = event.target.closest?.("input, select, textarea, [contenteditable], dialog");
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (!box.checked || isField || hasModifier || event.isComposing) return;
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  });
}
