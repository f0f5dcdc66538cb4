// Relative times grow older without the server. The wording is that of `ago` in api/pages/wording.py.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const EVERY_MS = 10000;

function ago(moment) {
  const seconds = (Date.now() - moment) / 1000;
  if (seconds < 10) return "just now";
  if (seconds > 30 * 86400) return new Date(moment).toISOString().slice(0, 10);
  const [size, name] = UNITS.find(([size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${name} ago`;
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = ago(Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}, EVERY_MS);
