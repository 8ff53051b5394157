// A C-ECHO, C-STORE, C-FIND, C-GET or C-MOVE by dcmjs-dimse: the task as JSON on standard input, the outcome on
// standard output. What is received is written to the folder of the task, under its SOP Instance UID.
'use strict';

const path = require('path');
const { text } = require('stream/consumers');
const dimse = require('dcmjs-dimse');

const { CEchoRequest, CFindRequest, CGetRequest, CMoveRequest, CStoreRequest } = dimse.requests;
const { CStoreResponse } = dimse.responses;
const { Status } = dimse.constants;

const REQUESTS = {
  echo: () => [new CEchoRequest()],
  store: (task) => task.files.map((file) => new CStoreRequest(file)),
  find: (task) => [CFindRequest[creator(task, 'Find')](task.keys)],
  get: (task) => [CGetRequest[creator(task, 'Get')](...uids(task))],
  move: (task) => [CMoveRequest[creator(task, 'Move')](task.destination, ...uids(task))],
};

const LEVELS = { PATIENT: 'Patient', STUDY: 'Study', SERIES: 'Series', IMAGE: 'Image' };

function creator(task, service) {
  return `create${LEVELS[task.level]}${service}Request`;
}

function uids(task) {
  const named = ['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID'].map((keyword) => task.keys[keyword]);
  return named.filter((uid) => uid !== undefined);
}

function counts(response) {
  return {
    remaining: response.getRemaining(),
    completed: response.getCompleted(),
    failed: response.getFailures(),
    warning: response.getWarnings(),
  };
}

function run(task) {
  const outcome = { statuses: [], answers: [], counts: [], received: [], error: null };
  const client = new dimse.Client();
  for (const request of REQUESTS[task.operation](task)) {
    request.on('response', (response) => {
      if (response.getStatus() !== Status.Pending) outcome.statuses.push(response.getStatus());
      if (task.operation === 'find' && response.hasDataset()) {
        outcome.answers.push(response.getDataset().getElements());
      }
      if (['get', 'move'].includes(task.operation)) outcome.counts.push(counts(response));
    });
    client.addRequest(request);
  }
  client.on('cStoreRequest', (request, callback) => {
    const uid = request.getDataset().getElement('SOPInstanceUID');
    request.getDataset().toFile(path.join(task.folder, `${uid}.dcm`));
    outcome.received.push(uid);
    const response = CStoreResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  });
  return new Promise((resolve) => {
    const fail = (error) => {
      outcome.error = String(error && error.message ? error.message : error);
      resolve(outcome);
    };
    client.on('networkError', fail);
    client.on('associationRejected', () => fail('rejected'));
    client.on('closed', () => resolve(outcome));
    client.send('127.0.0.1', task.port, task.calling, task.called);
  });
}

(async () => {
  dimse.log.setLevel('silent');
  const outcome = await run(JSON.parse(await text(process.stdin)));
  process.stdout.write(JSON.stringify(outcome), () => process.exit(0));
})();
