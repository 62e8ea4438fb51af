// Takes a bibliography from a file. The server reads it in pieces; their papers go in as one text, of
// which the next page shows what it would add. Without this script, there is the text area.
const form = document.querySelector("form.library");
const LARGEST = Number(form?.dataset.bytes); // Bytes of a request's text.
const PIECE = LARGEST / 3; // Characters of up to three bytes.
// Where entries begin, by format, in the order in which the server recognises them.
const BEGINNINGS = [
  /^(?=[ \t]*@[ \t]*\w+[ \t]*[{(]|(?:TY[ \t]{1,2}-|PMID-|%0[ \t]))/m,
  /^(?=OWN - |PT [A-Z]\w*[ \t]*$)/m,
  /(?=<record>)/,
];

// Whoever comes back to the answer to a form asks for the page, and sends nothing again.
history.replaceState(null, "", location.href);
if (form) begin(form.querySelector('[type="file"]'), form.querySelector(".progress"));

// A file that is no UTF-8 is from a program that knew only the letters of Western Europe. One that is
// no text at all has NULs then.
async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

function beginningsIn(text) {
  return BEGINNINGS.find((format) => format.test(text));
}

// Pieces that end between two entries, or two lines where these are the entries.
function* piecesOf(text) {
  let piece = "";
  for (const entry of text.split(beginningsIn(text) ?? /^/m)) {
    if (piece && piece.length + entry.length > PIECE) {
      yield piece;
      piece = "";
    }
    piece += entry;
  }
  yield piece;
}

// Returns what the server read in the piece.
async function read(piece) {
  const body = new FormData();
  body.append("text", piece);
  const answer = await fetch(`${form.getAttribute("action")}?part`, { method: "POST", body });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

// Sends in as many of the latest papers as a request may have, and what became of the others.
function send(papers, bad, unread) {
  const sorted = [...papers].sort(([, day], [, other]) => other.localeCompare(day));
  let size = 0;
  // Forms send two bytes for the end of a line.
  const fits = ([entry]) => (size += new Blob([entry.replaceAll("\n", "\r\n")]).size) <= LARGEST;
  const latest = sorted.filter(fits);
  const sent = document.createElement("form");
  sent.method = "post";
  sent.enctype = "multipart/form-data";
  sent.action = form.getAttribute("action");
  for (const [name, value] of [
    ["text", latest.map(([entry]) => entry).join("")],
    ["left", sorted.length - latest.length],
    ["bad", bad],
    ...unread.slice(0, 3).map((name) => ["unread", name]),
  ]) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    sent.append(field);
  }
  document.body.append(sent);
  sent.submit();
}

// Returns what is wrong with the file, or nothing where its papers are on their way.
async function take(file) {
  if (file.size > form.dataset.megabytes * 1_000_000) return form.dataset.large;
  const text = await textOf(file);
  const nul = text.indexOf("\0");
  // The server says what is wrong with it.
  if (nul >= 0) return (await read(text.slice(Math.max(nul - 200, 0), nul + 1))).problem;
  const papers = new Map(); // Each with its day.
  const unread = [];
  let bad = 0;
  for (const piece of piecesOf(text)) {
    const told = await read(piece);
    if (told.problem) return told.problem;
    if (!beginningsIn(text) && !/\.txt$/i.test(file.name)) return form.dataset.format;
    for (const [entry, day] of told.papers) papers.set(entry, day);
    unread.push(...told.unread);
    bad += told.bad;
  }
  send(papers, bad, unread);
  return "";
}

function begin(chooser, progress) {
  function tell(text, isBad) {
    progress.hidden = !text;
    progress.textContent = text;
    progress.classList.toggle("notice", isBad);
    progress.classList.toggle("bad", isBad);
  }

  chooser.parentElement.hidden = false;
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (!file) return;
    document.getElementById("said")?.remove(); // It was about what was sent before.
    tell(form.dataset.reading, false);
    const problem = await take(file).catch(() => form.dataset.failed);
    if (problem) tell(problem, true);
    chooser.value = "";
  });
}
