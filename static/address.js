// Asks whether a mistyped domain is one of the usual ones, once the address was typed. Without this script,
// the next page asks.
for (const hint of document.querySelectorAll("[data-domains]")) {
  const field = hint.parentElement.querySelector("input");
  const usual = hint.dataset.domains.split(" ");
  const others = hint.dataset.others.split(" ");
  const button = hint.querySelector("button");
  field.addEventListener("change", () => {
    const [, domain = ""] = field.value.toLowerCase().match(/@([^@]+?)\s*$/) ?? [];
    const isKnown = !domain || [...usual, ...others].includes(domain);
    const meant = usual.find((one) => edits(domain, one) <= (one.length > 8 ? 2 : 1));
    hint.hidden = isKnown || !meant;
    if (meant) button.textContent = `${field.value.replace(/@[^@]*$/, "")}@${meant}`;
  });
  button.addEventListener("click", () => {
    field.value = button.textContent;
    hint.hidden = true;
    field.focus();
  });
}

// The optimal string alignment distance.
function edits(text, other) {
  const rows = [Array.from({ length: other.length + 1 }, (_, m) => m)];
  for (let n = 1; n <= text.length; n++) {
    const before = rows[n - 1];
    const row = [n];
    for (let m = 1; m <= other.length; m++) {
      const isOther = text[n - 1] !== other[m - 1];
      row[m] = Math.min(before[m] + 1, row[m - 1] + 1, before[m - 1] + isOther);
      const isSwapped = n > 1 && m > 1 && text[n - 1] === other[m - 2] && text[n - 2] === other[m - 1];
      if (isSwapped) row[m] = Math.min(row[m], rows[n - 2][m - 2] + 1);
    }
    rows.push(row);
  }
  return rows.at(-1).at(-1);
}
