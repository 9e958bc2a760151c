// Whether the server is there: a banner as long as it is not, and what was not sent when it is back.

import { api, sentence, wire } from './api.js';
import { announce, banner, toast } from './dom.js';
import * as data from './store.js';

const ANXIOUS_MS = 500;

let calm = 4000; // milliseconds between two looks
let gone = false;
let timer = null;

function told(error) {
  if (error.status === 0) return 'The studio does not answer. Changes are kept here and sent when it is back. If it was ended in the terminal, start it again: it offers what you had a second before.';
  return 'Another studio answers now. Open the address that its terminal shows: it offers what you worked on.';
}

async function look() {
  clearTimeout(timer);
  try {
    const { trouble } = await api.alive();
    if (trouble) toast(`${sentence(trouble)}. Save the project.`, 'error');
    if (gone) {
      gone = false;
      banner('');
      announce('The studio is back.');
      data.resend();
    }
  } catch (error) {
    gone = true;
    banner(told(error));
  }
  clearTimeout(timer);
  timer = setTimeout(look, gone ? ANXIOUS_MS : calm);
}

export function watchServer() {
  wire.addEventListener('gone', () => { if (!gone) look(); });
  timer = setTimeout(look, calm);
  window.addEventListener('beforeunload', (event) => { if (data.unsaved()) event.preventDefault(); });
}
