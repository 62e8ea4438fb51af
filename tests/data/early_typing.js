document.addEventListener("readystatechange", () => {
  const query = document.getElementById("id_query");
  if (query && document.readyState === "interactive") query.value = "sour bread";
});
