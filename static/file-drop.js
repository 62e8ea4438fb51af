// A bibliography may be dropped as a file on a field of interests.
for (const field of document.querySelectorAll("[data-drop]")) accept(field, field.querySelector("textarea"));

function accept(field, area) {
  field.addEventListener("dragover", (event) => event.preventDefault());
  field.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    area.value = `${area.value}\n${await textOf(file)}`.trim();
    area.dispatchEvent(new Event("input", { bubbles: true }));
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
