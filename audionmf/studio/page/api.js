// Requests to the server that this page came from; there is no other.

const FIRST_LOOK_MS = 20; // what is quick is not waited for
const LOOK_MS = 120;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const wire = new EventTarget(); // says "gone" when the server does not answer

async function answer(path, init) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', ...init });
  } catch (error) {
    if (error.name !== 'AbortError') wire.dispatchEvent(new Event('gone'));
    throw new ApiError(0, 'The studio does not answer; was it ended in the terminal?');
  }
  if (response.ok) return response;
  let message = 'Something went wrong in the studio.';
  if ((response.headers.get('content-type') || '').startsWith('application/json')) {
    message = (await response.json()).error || message;
  }
  throw new ApiError(response.status, sentence(message));
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function send(method, path, body) {
  const headers = { 'content-type': 'application/json' };
  return answer(path, { method, headers, body: JSON.stringify(body) }).then((r) => r.json());
}

export const api = {
  alive: () => answer('/api/alive').then((r) => r.json()),
  state: () => answer('/api/state').then((r) => r.json()),
  edit: (body) => send('PUT', '/api/state', body),
  close: (version) => send('POST', '/api/close', { version }),
  resume: (version, recording) => send('POST', '/api/resume', { version, recording }),
  goOn: (id) => send('POST', `/api/kept/${id}`, {}),
  forget: (id) => answer(`/api/kept/${id}`, { method: 'DELETE' }),
  pick: (id) => send('POST', `/api/offered/${id}`, {}),
  waveform: (id) => answer(`/api/recordings/${id}/waveform`).then((r) => r.arrayBuffer()),
  tile: (id, level, index) => answer(`/api/recordings/${id}/tiles/${level}/${index}`).then((r) => r.arrayBuffer()),
  start: (body) => send('POST', '/api/jobs', body),
  job: (id, since) => answer(`/api/jobs/${id}?since=${since}`).then((r) => r.json()),
  stop: (id, keep) => answer(`/api/jobs/${id}${keep ? '?keep=yes' : ''}`, { method: 'DELETE' }),
  queue: (format) => answer(`/api/queue?format=${format}`).then((r) => r.json()),
  unqueue: (id) => answer(`/api/queue/${id}`, { method: 'DELETE' }),
  score: (recording, parts) => send('POST', '/api/scores', { recording, parts }),
  templates: (id) => answer(`/api/models/${id}/templates`).then((r) => r.arrayBuffer()),
  activations: (id) => answer(`/api/models/${id}/activations`).then((r) => r.arrayBuffer()),
  levels: (id) => answer(`/api/models/${id}/levels`).then((r) => r.arrayBuffer()),
  suggest: (id, components, sources) => send('POST', `/api/models/${id}/suggest`, { components, sources }),
  delivery: (id) => answer(`/api/deliveries/${id}`).then((r) => r.body),
  commands: (format, silent) => answer(`/api/commands?${new URLSearchParams([['format', format], ...silent.map((id) => ['silent', id])])}`).then((r) => r.json()),

  // A block of all components of a model, or of a recording as it is: `kind` is models or recordings.
  // Of a few components alone, `parts`, it comes sooner.
  async audio(kind, id, index, signal, parts) {
    const few = parts ? `?parts=${parts.join(',')}` : '';
    const response = await answer(`/api/${kind}/${id}/audio/${index}${few}`, { signal });
    return { scale: Number(response.headers.get('x-full-scale')), samples: await response.arrayBuffer() };
  },

  upload(file, onProgress) {
    // XMLHttpRequest, because fetch does not tell how much has been sent.
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open('POST', `/api/recordings?name=${encodeURIComponent(file.name)}`);
      request.upload.addEventListener('progress', (e) => onProgress(e.loaded / Math.max(1, e.total)));
      request.addEventListener('error', () => reject(new ApiError(0, 'The file could not be sent.')));
      request.addEventListener('load', () => {
        let body = {};
        try {
          body = JSON.parse(request.responseText);
        } catch {
          body = { error: 'Something went wrong in the studio.' };
        }
        if (request.status < 300) resolve(body);
        else reject(new ApiError(request.status, sentence(body.error || 'The file was refused.')));
      });
      request.send(file);
    });
  },

  // Waits for a job; tells every change. Resolves with its result, or null if it was stopped.
  async follow(job, onChange) {
    let told = job;
    const divergence = [];
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(LOOK_MS, 1.5 * pause)) {
      divergence.push(...told.divergence);
      onChange({ ...told, divergence });
      if (told.outcome === 'done') return { ...told.result, notes: told.notes };
      if (told.outcome === 'stopped') return null;
      if (told.outcome === 'failed') throw new ApiError(422, sentence(told.error));
      await new Promise((resolve) => setTimeout(resolve, pause));
      try {
        told = await api.job(job.id, divergence.length);
      } catch (error) {
        if (error.status) throw error;
        told = { ...told, divergence: [] }; // the job goes on, though nobody answers: a computer that slept
      }
    }
  },
};
