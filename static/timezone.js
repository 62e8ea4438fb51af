// Fills in the browser's time zone where none is given. Without this script it is typed by hand.
// To ask for it takes a telephone half a second, so it waits until somebody turns to the form.
function fill() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  for (const field of document.querySelectorAll('input[name="timezone"]')) {
    if (timeZone && !field.value) field.value = timeZone;
  }
}

for (const turning of ["focusin", "toggle", "submit"]) {
  document.addEventListener(turning, fill, { capture: true, once: true });
}
