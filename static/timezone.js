// Fills in the browser's time zone where none is given. Without this script, one types it. On a phone this
// takes half a second, so it waits until the form is used.
function fill() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const field of document.querySelectorAll('input[name="timezone"]')) {
    if (timeZone && !field.value) field.value = timeZone;
  }
}

for (const event of ["focusin", "toggle", "submit"]) {
  document.addEventListener(event, fill, { capture: true, once: true });
}
