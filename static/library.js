// Takes a bibliography from a file, and sends it in pieces that the server takes. Without this script,
// there is the text area.
const form = document.querySelector("form.library");
const chooser = form.querySelector('[type="file"]');
const told = form.querySelector(".progress");
const PIECE = 300_000; // Characters of up to three bytes: a request may have a million.
const BEGINNINGS = /^(?=[ \t]*@[ \t]*\w+[ \t]*[{(]|(?:TY[ \t]{1,2}-|PMID-|%0[ \t]))/m;

chooser.parentElement.hidden = false;
// Whoever comes back to the answer to a form asks for the page, and sends nothing again.
history.replaceState(null, "", location.href);

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

// Returns what became of the piece.
async function send(piece) {
  const body = new FormData();
  body.append("text", piece);
  const answer = await fetch(`${form.getAttribute("action")}?part`, { method: "POST", body });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

// Has the page tell what became of all pieces. By a form: an address stands in logs, and the names are hers.
function tell(sums, unread) {
  const names = unread.map((name) => ["unread", name]);
  const sent = document.createElement("form");
  sent.method = "post";
  sent.action = form.getAttribute("action");
  for (const [name, value] of [...Object.entries(sums), ...names]) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    sent.append(field);
  }
  document.body.append(sent);
  sent.submit();
}

async function take(file) {
  const sums = { new: 0, known: 0, left: 0, titleless: 0, bad: 0 };
  const unread = [];
  told.textContent = form.dataset.reading;
  for (const piece of piecesOf(await textOf(file))) {
    const became = await send(piece);
    for (const name in sums) sums[name] += became[name];
    unread.push(...became.unread);
  }
  tell(sums, unread.slice(0, 3));
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
