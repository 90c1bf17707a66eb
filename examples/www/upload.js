// The upload page: sends the form with XMLHttpRequest, which unlike fetch
// reports progress, and keeps the list of stored files.

'use strict';

const byId = (id) => document.getElementById(id);
const form = byId('upload-form');
const input = byId('file');
const uploadButton = byId('upload-button');
const cancelButton = byId('cancel-button');
const progress = byId('progress');

const RATE_WINDOW = 3000; // ms of progress events the shown rate is taken over
const LIST_TIMEOUT = 10000; // ms to wait for the list of stored files

let current = null; // the XMLHttpRequest under way, if any
let refused = false; // true once the server is known to take no uploads

function humanSize(bytes) {
  if (bytes < 1024) return bytes === 1 ? '1 byte' : `${Math.round(bytes)} bytes`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  // 1023.95 and more would be printed as 1024.0 of the smaller unit.
  while (value >= 1023.95 && units.length > 1) {
    value /= 1024;
    units.shift();
  }
  return `${value.toFixed(1)} ${units[0]}`;
}

function countFiles(count) {
  return count === 1 ? '1 file' : `${count} files`;
}

const totalSize = (files) => files.reduce((sum, file) => sum + file.size, 0);

// Parts are strings or nodes; strings become text, never markup.
function setStatus(state, ...parts) {
  const status = byId('status');
  status.replaceChildren(...parts);
  if (state) status.dataset.state = state;
  else delete status.dataset.state;
}

// The array of stored files in a JSON text, or null if it is anything else.
function parseEntries(text) {
  const isEntry = (e) => e !== null && typeof e === 'object' &&
    typeof e.name === 'string' && typeof e.size === 'number' && typeof e.href === 'string';
  try {
    const list = JSON.parse(text);
    return Array.isArray(list) && list.every(isEntry) ? list : null;
  } catch {
    return null;
  }
}

// --- The list of stored files ---

function listItem(entry) {
  const link = document.createElement('a');
  link.href = entry.href;
  link.textContent = entry.name;
  link.dir = 'auto'; // a right-to-left name must not turn the size around
  const size = document.createElement('span');
  size.textContent = humanSize(entry.size);
  const item = document.createElement('li');
  item.append(link, size);
  return item;
}

function showList(entries) {
  byId('uploads').replaceChildren(...entries.map(listItem));
  byId('list-note').textContent = entries.length === 0 ? 'Nothing is stored yet.'
    : `${countFiles(entries.length)}, ${humanSize(totalSize(entries))}.`;
}

async function fetchList() {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), LIST_TIMEOUT);
  try {
    const response = await fetch('/uploads/', {
      headers: { Accept: 'application/json' },
      cache: 'no-store',
      signal: control.signal,
    });
    const text = await response.text();
    return { entries: response.status === 200 ? parseEntries(text) : null, response };
  } finally {
    clearTimeout(timer);
  }
}

async function refreshList() {
  try {
    const { entries, response } = await fetchList();
    if (entries !== null) showList(entries);
    else byId('list-note').textContent = `The list could not be read: the server answered ${response.status}.`;
  } catch (error) {
    byId('list-note').textContent = `The list could not be fetched: ${error.message}`;
  }
}

function refuseUploads(response) {
  refused = true;
  for (const control of form.elements) control.disabled = true;
  byId('drop-hint').hidden = true;
  const command = document.createElement('code');
  command.textContent = 'cargo run --release --example upload';
  setStatus('note', 'This server takes no uploads. ', command, ' serves this site with uploads working.');
  byId('list-note').textContent = response.status === 200
    ? 'There is no list: /uploads/ is not a list of uploads on this server.'
    : `There is no list: the server answered ${response.status} for /uploads/.`;
}

// Asks once, on loading, whether this server takes uploads. No answer at all
// does not say that it takes none, so the form then stays usable.
async function probe() {
  try {
    const { entries, response } = await fetchList();
    if (entries !== null) showList(entries);
    else refuseUploads(response);
  } catch (error) {
    byId('list-note').textContent = `The list could not be fetched: ${error.message}`;
  }
}

// --- One upload ---

// Between uploads Cancel, and during one Upload, is only marked as disabled:
// really disabling a button takes the keyboard focus from it.
function setBusy(xhr) {
  current = xhr;
  const busy = xhr !== null;
  uploadButton.setAttribute('aria-disabled', busy);
  cancelButton.setAttribute('aria-disabled', !busy);
  input.disabled = busy;
}

// Returns a function from a progress event to bytes per second.
function rateMeter() {
  const samples = [{ time: performance.now(), loaded: 0 }];
  return (loaded) => {
    const now = performance.now();
    samples.push({ time: now, loaded });
    while (samples.length > 2 && now - samples[0].time > RATE_WINDOW) samples.shift();
    const seconds = (now - samples[0].time) / 1000;
    return seconds > 0 ? (loaded - samples[0].loaded) / seconds : 0;
  };
}

// The bar and its text follow every event. The status, which screen readers
// speak, only changes at each quarter.
function progressShower(what) {
  const rate = rateMeter();
  let spoken = 0;
  return ({ loaded, total }) => {
    const percent = total > 0 ? Math.floor(100 * loaded / total) : 0;
    progress.value = percent;
    byId('progress-text').textContent =
      `${percent} %, ${humanSize(loaded)} of ${humanSize(total)}, ${humanSize(rate(loaded))}/s`;
    const quarter = Math.floor(percent / 25) * 25;
    if (quarter > spoken && quarter < 100) {
      spoken = quarter;
      setStatus('', `Uploading ${what}, ${quarter} % done.`);
    }
  };
}

// The server's own words for an error: {"error": …}, the text of an HTML
// page, or plain text, on one line and cut to a readable length.
function errorText(xhr) {
  let text = xhr.responseText;
  try {
    const { error } = JSON.parse(text);
    if (typeof error === 'string') text = error;
  } catch {
    const type = xhr.getResponseHeader('Content-Type') || '';
    // A parsed document is inert: its scripts do not run. The spaces keep the
    // words of two elements apart.
    if (type.includes('html')) {
      text = new DOMParser().parseFromString(text.replace(/</g, ' <'), 'text/html').body.textContent;
    }
  }
  text = text.replace(/\s+/g, ' ').trim();
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

function fail(text) {
  setStatus('bad', `The upload failed: ${text}`);
}

// The list is refreshed before the status says so, so that both are true
// once it does.
async function finish(xhr, started) {
  const seconds = (performance.now() - started) / 1000;
  const stored = parseEntries(xhr.responseText);
  if (xhr.status < 200 || xhr.status > 299) {
    fail(`${xhr.status} ${xhr.statusText}`.trim() + `. ${errorText(xhr)}`);
  } else if (stored === null) {
    fail(`the server answered ${xhr.status}, but not with a list of stored files.`);
  } else {
    await refreshList();
    form.reset();
    const what = stored.length === 1 ? stored[0].name : countFiles(stored.length);
    const time = seconds < 0.1 ? '' : ` in ${seconds.toFixed(1)} s`;
    setStatus('good', `Uploaded ${what}, ${humanSize(totalSize(stored))}${time}.`);
  }
}

// Follows the progress events of a request. A stalled upload sends none, so a
// timer repeats the last one, and the rate falls to zero as it should.
function followProgress(upload, what) {
  const show = progressShower(what);
  let last = null;
  const timer = setInterval(() => { if (last) show(last); }, 500);
  upload.addEventListener('progress', (event) => { show(last = event); });
  upload.addEventListener('loadend', () => clearInterval(timer));
}

function send() {
  const files = [...input.files];
  const what = `${countFiles(files.length)}, ${humanSize(totalSize(files))}`;
  const body = new FormData(form); // before setBusy: a disabled input is left out
  const started = performance.now();
  const xhr = new XMLHttpRequest();
  xhr.open('POST', form.action);
  xhr.setRequestHeader('Accept', 'application/json');
  followProgress(xhr.upload, what);
  xhr.upload.addEventListener('load', () => setStatus('', 'Sent. Waiting for the server’s answer.'));
  xhr.addEventListener('load', async () => {
    await finish(xhr, started);
    setBusy(null);
  });
  xhr.addEventListener('error', () => {
    fail('the connection broke before the server had answered. A server may do so when a file is too large for it.');
    setBusy(null);
  });
  xhr.addEventListener('abort', () => {
    setStatus('', 'Cancelled.');
    setBusy(null);
    refreshList(); // files sent whole before that may have been stored
  });
  setBusy(xhr);
  progress.value = 0;
  byId('progress-text').textContent = '';
  byId('progress-area').hidden = false;
  setStatus('', `Uploading ${what}.`);
  xhr.send(body);
}

// --- Choosing and dropping files ---

function showChosen() {
  const files = [...input.files];
  byId('progress-area').hidden = true;
  setStatus('', files.length === 0 ? '' : `Chosen: ${countFiles(files.length)}, ${humanSize(totalSize(files))}.`);
}

const hasFiles = (event) => event.dataTransfer.types.includes('Files');
const takesDrop = (event) => form.contains(event.target) && current === null && !refused;

function setDropping(on) {
  form.toggleAttribute('data-dropping', on);
}

// Listening on the whole window keeps a drop that misses the form from
// replacing the page with the dropped file.
function onDragOver(event) {
  if (!hasFiles(event)) return;
  event.preventDefault();
  const takes = takesDrop(event);
  event.dataTransfer.dropEffect = takes ? 'copy' : 'none';
  setDropping(takes);
}

function onDrop(event) {
  if (!hasFiles(event)) return;
  event.preventDefault();
  setDropping(false);
  if (!takesDrop(event)) return;
  // A folder looks like a file here, but cannot be read as one.
  const isFolder = (item) => item.webkitGetAsEntry?.()?.isDirectory;
  if ([...event.dataTransfer.items].some(isFolder)) {
    setStatus('bad', 'A folder cannot be uploaded. Choose the files in it.');
    return;
  }
  input.files = event.dataTransfer.files;
  showChosen();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (current === null && input.files.length > 0) send();
});
cancelButton.addEventListener('click', () => current?.abort());
input.addEventListener('change', showChosen);
window.addEventListener('dragover', onDragOver);
window.addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) setDropping(false);
});
window.addEventListener('drop', onDrop);

cancelButton.hidden = false;
byId('drop-hint').hidden = false;
probe();
