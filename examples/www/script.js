// The demonstrations of index.html: each button sends real requests to the
// server the page came from and shows what was asked and answered.

'use strict';

const NAMED = ['ETag', 'Content-Type', 'Content-Encoding', 'Content-Range', 'Content-Length', 'Vary'];

// Sends one GET and writes both sides of it to the log. The browser's cache
// is left out, so that every line comes from the server itself.
async function get(log, file, headers = {}) {
  const url = new URL(file, document.baseURI);
  log.push(`> GET ${url.pathname}`);
  for (const [name, value] of Object.entries(headers)) log.push(`> ${name}: ${value}`);

  const response = await fetch(url, { headers, cache: 'no-store' });
  const body = await response.arrayBuffer();

  log.push(`< ${response.status} ${response.statusText}`.trimEnd());
  for (const name of NAMED) {
    const value = response.headers.get(name);
    if (value !== null) log.push(`< ${name}: ${value}`);
  }
  log.push('');
  return { status: response.status, headers: response.headers, body };
}

function expectStatus(answer, wanted) {
  if (answer.status !== wanted) {
    throw new Error(`the server answered ${answer.status}, not ${wanted}.`);
  }
}

async function conditional(log) {
  const first = await get(log, 'numbers.txt');
  expectStatus(first, 200);
  const etag = first.headers.get('ETag');
  if (etag === null) throw new Error('the server sent no ETag to ask with.');

  const second = await get(log, 'numbers.txt', { 'If-None-Match': etag });
  expectStatus(second, 304);
  return 'Not modified: the second answer carried no file, only its headers.';
}

async function range(log) {
  const answer = await get(log, 'numbers.txt', { Range: 'bytes=0-99' });
  if (answer.status === 200) throw new Error('the server ignored the range and sent the whole file.');
  expectStatus(answer, 206);
  log.push(new TextDecoder().decode(answer.body));
  return `${answer.body.byteLength} bytes came back, shown below the headers.`;
}

// Says how one file travelled. The body has been decoded by the browser, the
// Content-Length counts what was sent, and a chunked answer has none.
function describeCoding(file, answer) {
  const coding = answer.headers.get('Content-Encoding');
  const size = answer.body.byteLength;
  if (coding === null) return `${file} was sent as it is, ${size} bytes, with no Content-Encoding.`;
  const sent = answer.headers.get('Content-Length');
  const cost = sent === null ? '' : `: ${sent} bytes sent for ${size}`;
  return `${file} was sent with ${coding}${cost}.`;
}

async function coding(log) {
  const sentences = [];
  for (const file of ['style.css', 'numbers.txt']) {
    const answer = await get(log, file);
    expectStatus(answer, 200);
    sentences.push(describeCoding(file, answer));
  }
  return sentences.join(' ');
}

// Runs one demonstration. What was logged before a failure is shown as well,
// because it usually explains the failure.
async function run(name, demo) {
  const verdict = document.getElementById(`${name}-verdict`);
  const output = document.getElementById(`${name}-output`);
  const log = [];
  let text;
  let state = 'good';
  try {
    text = await demo(log);
  } catch (error) {
    state = 'bad';
    text = `This did not work: ${error.message}`;
  }
  verdict.textContent = text;
  verdict.dataset.state = state;
  output.textContent = log.join('\n').trimEnd();
  output.hidden = false;
}

// The buttons are disabled in the HTML, since without this script they would
// do nothing. A press while the demonstration runs is dropped; disabling the
// button meanwhile would take the keyboard focus from it.
function connect(button, demos) {
  const name = button.dataset.demo;
  let busy = false;
  button.disabled = false;
  button.addEventListener('click', async () => {
    if (busy) return;
    busy = true;
    await run(name, demos[name]);
    busy = false;
  });
}

const demos = { conditional, range, coding };
for (const button of document.querySelectorAll('[data-demo]')) connect(button, demos);
