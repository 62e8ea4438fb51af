() => {
  const isOut = (one) => one.getBoundingClientRect().right >
    one.parentElement.getBoundingClientRect().right + 1;
  const isBroken = (one) => {
    one.style.overflowWrap = "normal";
    return one.scrollWidth > one.clientWidth;
  };
  return [...document.querySelectorAll("button, .button, .small")].filter(isOut)
    .concat([...document.querySelectorAll(".hero h1, .column h1")].filter(isBroken))
    .map((one) => one.textContent);
}
