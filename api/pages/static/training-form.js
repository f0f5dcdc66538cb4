// <form data-writes="ID">: as it is filled in, the server rewrites the text of the field ID. Texts that somebody
// has changed by hand are left alone until the button of the form is pressed.
const form = document.querySelector("form[data-writes]");
const text = form && document.getElementById(form.dataset.writes);
let written = text?.value;
let number = 0;

async function write() {
  if (text.value !== written) return;
  const own = ++number;
  const address = new URL(form.action);
  address.search = new URLSearchParams(new FormData(form));
  const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || own !== number || text.value !== written) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(text.id);
  if (fresh) text.value = written = fresh.value;
  form.querySelector("#mistake")?.remove();
  const mistake = page.getElementById("mistake");
  if (mistake) form.prepend(document.adoptNode(mistake));
}

if (text) form.addEventListener("change", write);
