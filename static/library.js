// Takes a bibliography from a file, and sends it in pieces that the server takes. Without this script,
// there is the text area.
const form = document.querySelector("form.library");
const chooser = form.querySelector('[type="file"]');
const told = form.querySelector(".progress");
const PIECE = 300_000; // Characters of up to three bytes: a request may have a million.
const BEGINNINGS = /^(?=[ \t]*@[ \t]*\w+[ \t]*[{(]|(?:TY[ \t]{1,2}-|PMID-|%0[ \t]))/m;

chooser.parentElement.hidden = false;

// A file that is no UTF-8 is from a program that knew only the letters of Western Europe.
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

// Pieces that end between two entries.
function* piecesOf(text) {
  let piece = "";
  for (const entry of text.split(BEGINNINGS)) {
    if (piece && piece.length + entry.length > PIECE) {
      yield piece;
      piece = "";
    }
    piece += entry;
  }
  yield piece;
}

// Returns where the page tells what became of the piece, nothing where none of it could be read.
async function send(piece) {
  const body = new FormData();
  body.append("text", piece);
  const answer = await fetch(form.getAttribute("action"), { method: "POST", body });
  if (answer.status === 400) return null;
  if (!answer.ok) throw new Error(answer.status);
  return new URL(answer.url).searchParams;
}

async function take(file) {
  const sums = { new: 0, known: 0, left: 0, titleless: 0, bad: 0 };
  const unread = [];
  told.textContent = form.dataset.reading;
  for (const piece of piecesOf(await textOf(file))) {
    const became = await send(piece);
    for (const name in sums) sums[name] += Number(became?.get(name) ?? 0);
    unread.push(...(became?.getAll("unread") ?? []));
  }
  const said = new URLSearchParams(sums);
  for (const name of unread.slice(0, 3)) said.append("unread", name);
  location.assign(`${form.getAttribute("action")}?${said}`);
}

chooser.addEventListener("change", async () => {
  const [file] = chooser.files;
  if (!file) return;
  try {
    await take(file);
  } catch {
    told.textContent = form.dataset.failed;
  }
  chooser.value = "";
});
