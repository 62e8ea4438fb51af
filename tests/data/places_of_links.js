() => [...document.links].map(link => {
  const {left, right, top, bottom} = link.getBoundingClientRect();
  const link_of = {url: link.href, name: link.textContent, is: [...link.classList]};
  return {...link_of, left, right, top, bottom};
})
