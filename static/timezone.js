// Fills in the browser's time zone where none is given. Without this script, one types it. On a phone this
// takes half a second, so it waits until the form is used.
function fill() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const field of document.querySelectorAll('input[name="timezone"]')) {
    if (timeZone && !field.value) field.value = timeZone;
  }
  show();
}

// Says beside the closed part of a form what it has.
function show() {
  const note = document.querySelector("[data-schedule]");
  const [hour, zone] = ["id_hour", "id_timezone"].map((id) => document.getElementById(id));
  if (note) note.textContent = `: ${hour.selectedOptions[0].text} ${zone.value}`;
}

document.addEventListener("change", show);
for (const event of ["focusin", "toggle", "submit"]) {
  document.addEventListener(event, fill, { capture: true, once: true });
}
