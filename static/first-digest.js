// Shows the first digest on the page that confirms, once it is planned. The server ends the waiting.
// Without this script, the page reloads itself.
async function look() {
  const section = document.getElementById("first");
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("first");
    if (found && !found.hasAttribute("aria-busy")) {
      section.replaceChildren(...found.childNodes);
      section.removeAttribute("aria-busy");
      return;
    }
  } catch {
    // Offline: the next attempt may succeed.
  }
  setTimeout(look, 1000);
}

setTimeout(look, 1000);
