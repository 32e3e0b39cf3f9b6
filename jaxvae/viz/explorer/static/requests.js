// Requests to the server. Of each kind one is under way, and only the newest waits: dragging never queues.

const errorLine = document.getElementById("error");
let pending = 0; // requests under way, shown in the page for tests

function showError(text) {
  errorLine.textContent = text;
  errorLine.hidden = !text;
}

function addPending(change) {
  pending += change;
  document.body.dataset.pending = pending;
}

export async function request(name, body) {
  let response, content;
  addPending(1);
  try {
    const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    response = await fetch(`/api/${name}`, options || {});
    content = await response.json();
  } catch {
    showError("The server does not answer. Start it again: jaxvae explore RUN.");
    return null;
  } finally {
    addPending(-1);
  }
  showError(response.ok ? "" : content.error);
  return response.ok ? content : null;
}

// Returns a function (name, body, show) that sends a request; show(answer, last): whether no newer request waits.
export function latestOnly() {
  let busy = false;
  let waiting = null;
  return async function submit(name, body, show) {
    waiting = { name, body, show };
    if (busy) return;
    busy = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      const answer = await request(now.name, now.body);
      if (answer) now.show(answer, !waiting);
    }
    busy = false;
  };
}

export function debounce(wait, act) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

export function decodeBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function encodeBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
