// More, Less and Save. Without this script, each button posts its form and leads to a page.

// A link of an email: posts the answer at once. Not if the page was opened in the background, where
// a mail scanner or the browser may have opened it, nor if someone comes back to it.
const question = document.querySelector("form[data-post-now]");
const [opened] = performance.getEntriesByType("navigation");
const isInSight = !document.prerendering && document.visibilityState === "visible";
if (question && isInSight && opened?.type === "navigate") question.requestSubmit();

// Whoever comes back to an answer asks for the page, and sends nothing again.
const answer = document.querySelector("[data-address]");
if (answer) history.replaceState(null, "", answer.dataset.address);

function show(paper) {
  for (const button of paper.querySelectorAll(".say button")) {
    const isPressed =
      button.value === "save" ? "saved" in paper.dataset : paper.dataset.opinion === button.value;
    button.setAttribute("aria-pressed", isPressed);
  }
}

// The value that a button posts: pressed once more, it undoes what it said.
function valueOf(button) {
  if (button.getAttribute("aria-pressed") !== "true") return button.value;
  return button.value === "save" ? "unsave" : "neutral";
}

async function send(form, button) {
  const paper = form.closest("li");
  const value = valueOf(button);
  const status = form.querySelector("[role=status]");
  status.textContent = "";
  button.setAttribute("aria-busy", "true");
  try {
    const body = new URLSearchParams({ paper: form.elements.paper.value, value });
    const headers = { Accept: "application/json" };
    const response = await fetch(form.action, { method: "POST", body, headers });
    if (!response.ok) throw new Error(response.status);
  } catch {
    status.textContent = paper.parentElement.dataset.failed;
    return;
  } finally {
    button.removeAttribute("aria-busy");
  }
  if (value === "save") paper.dataset.saved = "";
  else if (value === "unsave") delete paper.dataset.saved;
  else if (value === "neutral") delete paper.dataset.opinion;
  else paper.dataset.opinion = value;
  show(paper);
}

function act(event) {
  event.preventDefault();
  const button = event.submitter;
  if (button && !event.target.querySelector("[aria-busy]")) send(event.target, button);
}

for (const form of document.querySelectorAll("li > .paper form.say")) {
  show(form.closest("li"));
  const status = document.createElement("span");
  status.className = "failed";
  status.setAttribute("role", "status");
  form.append(status);
  form.addEventListener("submit", act);
}
