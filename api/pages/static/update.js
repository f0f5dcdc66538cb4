// Brings the children of an element up to date with those of another one. Children with the same `id` are the
// same; others are the same if they stand at the same place and are of the same kind. Nodes come from a parsed
// page of this server, scripts in which do not run.
export function update(element, wanted) {
  const byId = new Map([...element.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = element.firstChild;
  for (const child of [...wanted.childNodes]) {
    const known = (child.id && byId.get(child.id)) || (isSameKind(place, child) ? place : null);
    if (!known) {
      element.insertBefore(document.adoptNode(child), place);
      continue;
    }
    if (known === place) place = place.nextSibling;
    else element.insertBefore(known, place);
    change(known, child);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function isSameKind(node, other) {
  return node !== null && node.nodeName === other.nodeName && (node.id ?? "") === (other.id ?? "");
}

function change(node, wanted) {
  if (node.isEqualNode(wanted)) return;
  if (node.nodeType !== Node.ELEMENT_NODE) {
    node.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) {
    // What a person has opened stays open.
    if (!wanted.hasAttribute(name) && !(name === "open" && node.nodeName === "DETAILS")) node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  // A form that somebody may be filling in is left alone.
  if (node.nodeName !== "FORM" || !node.contains(document.activeElement)) update(node, wanted);
}
