() => {
  // What has the focus of the keyboard and looks as if it hadn't. A search's frame shows it instead.
  const all = [...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")];
  const reached = all.filter(one => one.checkVisibility() && one.tabIndex >= 0);
  const unseen = reached.filter(one => {
    one.focus();
    const {outlineStyle, boxShadow} = getComputedStyle(one);
    return document.activeElement === one && outlineStyle === "none" && boxShadow === "none";
  });
  return [reached.length, unseen.filter(one => one.name !== "q").map(one => one.outerHTML)];
}
