// Filters the categories of a form while one types. Without this script, all of them are listed.
for (const list of document.querySelectorAll(".categories")) {
  const filter = list.querySelector(".filter");
  filter.hidden = false;
  filter.addEventListener("input", (event) => {
    event.stopPropagation(); // It changes no choice.
    const wanted = filter.value.trim().toLowerCase();
    for (const group of list.querySelectorAll("[role=group]")) {
      const isOfGroup = group.getAttribute("aria-label").toLowerCase().includes(wanted);
      for (const choice of group.querySelectorAll(".choice")) {
        const isChosen = choice.querySelector("input").checked;
        choice.hidden = !(isOfGroup || isChosen || choice.textContent.toLowerCase().includes(wanted));
      }
      group.hidden = !group.querySelector(".choice:not([hidden])");
    }
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault(); // It would send the form.
  });
}
