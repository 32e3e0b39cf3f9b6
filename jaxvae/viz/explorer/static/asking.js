// Questions to the server. A line of questions holds one under way and the newest that waits: dragging never queues.

const trouble = document.getElementById("trouble");
let asking = 0; // questions under way, told in the page for who waits for it

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

function count(change) {
  asking += change;
  document.body.dataset.asking = asking;
}

export async function ask(question, body) {
  let answer, content;
  count(1);
  try {
    const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    answer = await fetch(`/api/${question}`, options || {});
    content = await answer.json();
  } catch {
    say("The server does not answer. Start it again: jaxvae explore RUN.");
    return null;
  } finally {
    count(-1);
  }
  say(answer.ok ? "" : content.error);
  return answer.ok ? content : null;
}

// Returns a function (question, body, show) that asks; show(answer, last) is told whether no newer question waits.
export function newest() {
  let busy = false;
  let waiting = null;
  return async function put(question, body, show) {
    waiting = { question, body, show };
    if (busy) return;
    busy = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      const answer = await ask(now.question, now.body);
      if (answer) now.show(answer, !waiting);
    }
    busy = false;
  };
}

export function rested(wait, act) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

export function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function textOf(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
