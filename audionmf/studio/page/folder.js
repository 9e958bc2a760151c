// Files in a folder that one picks, where the browser lets a page write.

import { api } from './api.js';

const WORDS = {
  NotAllowedError: 'The browser may not write there. Pick the folder again and allow it, or pick another.',
  NoModificationAllowedError: 'A file of that name is open in another program.',
  NotFoundError: 'The folder is not there any more.',
  QuotaExceededError: 'The disk is full.',
  SecurityError: 'The browser gives this page no folder. Save the stems as one file.',
};

function plain(error, before = '') {
  if (error instanceof TypeError) return new Error(`${before}The studio stopped answering.`, { cause: error });
  if (!(error instanceof DOMException)) return before ? new Error(before + error.message, { cause: error }) : error;
  return new Error(before + (WORDS[error.name] || `The browser could not write there: ${error.message}`), { cause: error });
}

// Null where nobody picked one.
export async function pickFolder() {
  try {
    return await window.showDirectoryPicker({ mode: 'readwrite' });
  } catch (error) {
    if (error.name === 'AbortError') return null;
    throw plain(error);
  }
}

// Each of them is whole or not there; `below` names a folder in it to make and to write to.
export async function writeFiles(folder, files, below = '') {
  let n = 0;
  try {
    const home = below ? await folder.getDirectoryHandle(below, { create: true }) : folder;
    for (const file of files) {
      const handle = await home.getFileHandle(file.name, { create: true });
      const content = await api.delivery(file.id);
      await content.pipeTo(await handle.createWritable()); // which closes it
      n += 1;
    }
  } catch (error) {
    throw plain(error, n ? `${n} of ${files.length} files were saved${below ? ` in ${below}` : ''}. ` : '');
  }
}
