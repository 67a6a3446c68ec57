// The zoo's table shows the entries in which every word of what is typed occurs; without scripts it shows all.
document.addEventListener("DOMContentLoaded", () => {
  const table = [...document.querySelectorAll(".md-content table")].find(
    (one) => one.querySelector("th")?.textContent.trim() === "entry",
  );
  if (!table) return;
  const rows = [...table.querySelectorAll("tbody tr")];
  const field = document.createElement("input");
  field.type = "search";
  field.className = "zoo-filter";
  field.placeholder = "Filter: ucf101 flow, VGG19, fine-tuned ...";
  field.setAttribute("aria-label", "Filter the entries");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  table.before(field);
});
