// The control page of a simulated org. The token stands in the address's fragment and never leaves this page but
// in the header of its own requests.
'use strict';

const token = location.hash.slice(1);
const at = (id) => document.getElementById(id);

/** What can go wrong, by the names that the org knows. */
const FAULTS = [
  ['The daily quota is spent', { kind: 'quota_spent' }, '/services/data/*'],
  ['The session has expired', { kind: 'expired_session' }, '/services/data/*'],
  ['Too many requests, retry after 5 s', { kind: 'too_many_requests', retry_after: 5 }, '/services/data/*'],
  ['Unavailable (503)', { kind: 'unavailable', retry_after: null }, '/services/data/*'],
  ['Unavailable with a page of HTML', { kind: 'html_unavailable' }, '/services/data/*'],
  ['A page of HTML with 200', { kind: 'html_ok' }, '/services/data/*'],
  ['Server error (500)', { kind: 'server_error' }, '/services/data/*'],
  ['No route yet (420)', { kind: 'status', status: 420 }, '/services/data/*'],
  ['Not acceptable (406)', { kind: 'status', status: 406 }, '/services/data/*/describe'],
  ['Slow: 10 s', { kind: 'slow', delay_ms: 10000 }, '/services/data/*'],
  ['Pages trickle', { kind: 'trickle', pause_ms: 500 }, 'GET /services/data/*/results'],
  ['The connection is cut inside a page', { kind: 'cut', after_bytes: 20000 }, 'GET /services/data/*/results'],
  ['A page is 3 records short', { kind: 'short_page', missing: 3 }, 'GET /services/data/*/results'],
  ['The job fails', { kind: 'job_failed', message: 'QUERY_TIMEOUT: Your query request was running for too long.' }, 'POST /services/data/*/jobs/query'],
  ['The job fails and does not say why', { kind: 'job_failed', message: null }, 'POST /services/data/*/jobs/query'],
  ['The job hangs', { kind: 'job_hangs' }, 'POST /services/data/*/jobs/query'],
  ['The answer is lost', { kind: 'lost_answer' }, '/services/data/*'],
  ['The topic does not exist', { kind: 'refused', code: 'topic.not.found' }, '/eventbus.v1.PubSub/*'],
  ['No permission for the topic', { kind: 'refused', code: 'topic.meta.permission' }, '/eventbus.v1.PubSub/*'],
  ['The Pub/Sub API is unavailable', { kind: 'refused', code: 'service.unavailable' }, '/eventbus.v1.PubSub/*'],
];

/** What can happen to the event stream; those with an object take the chosen one. */
const DISTURBANCES = [
  ['The streams are reset', { kind: 'reset_streams' }],
  ['The connections break', { kind: 'cut_connections' }],
  ['The connections are told to go away', { kind: 'drain' }],
  ['The streams end normally', { kind: 'end_streams' }],
  ['The service is unavailable', { kind: 'fail_streams', code: 'service.unavailable' }],
  ['The tokens expire', { kind: 'expire_tokens' }],
  ['Silence: not even keep-alives', { kind: 'silence', on: true }],
  ['Events come 5 seconds late', { kind: 'delay', ms: 5000 }],
  ['The next event is never sent', { kind: 'next_events', fault: 'dropped', times: 1 }],
  ['The next event comes as a gap', { kind: 'next_events', fault: 'gap', times: 1 }],
  ['The next event comes twice', { kind: 'next_events', fault: 'duplicated', times: 1 }],
  ['The next event breaks off in its header', { kind: 'next_events', fault: 'corrupt_header', times: 1 }],
  ['The next event breaks off in its body', { kind: 'next_events', fault: 'corrupt_body', times: 1 }],
  ['The next event names an unknown schema', { kind: 'next_events', fault: 'unknown_schema', times: 1 }],
  ['The next event has a bit too many', { kind: 'next_events', fault: 'bad_bitmap', times: 1 }],
  ['The next event is of an unknown kind', { kind: 'next_events', fault: 'unknown_kind', times: 1 }],
  ['The last events come again', { kind: 'redeliver', events: 20 }],
  ['An overflow', { kind: 'overflow', object: '' }],
  ['A wildcard', { kind: 'wildcard', object: '' }],
  ['All replay ids expire', { kind: 'expire_replay_ids' }],
  ['The org moves to another instance', { kind: 'renumber' }],
  ['The allocation is spent', { kind: 'spend_allocation' }],
  ['There is allocation again', { kind: 'restore_allocation' }],
];
/** The objects that may be selected for change events. */
const WITH_EVENTS = ['Product2', 'PricebookEntry', 'Pricebook2', 'Account'];

let from = 0;
let opened = null;

async function ask(method, path, body) {
  const reply = await fetch(`/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}` },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

/** Runs one act of a person, and shows what went wrong if it did. */
async function act(work) {
  try {
    await work();
    at('problem').hidden = true;
  } catch (problem) {
    at('problem').hidden = false;
    at('problem').textContent = problem.message || 'The org does not answer. It may have been stopped.';
  }
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  Object.assign(made, attributes);
  return made;
}

function fill(list, items) {
  list.replaceChildren(...items);
}

function button(text, work) {
  return element('button', text, { type: 'button', onclick: () => act(work) });
}

function showOrg(org) {
  at('statement').textContent = `${org.name} (${org.id}), ${org.edition}. Nothing in it is real.`;
  const facts = [
    ['Login host and instance', org.base_url],
    ['Pub/Sub API', org.pubsub_endpoint],
    ['Client id', org.client_id],
    ['User', org.username],
    ['API requests', `${org.api_requests.used} of ${org.api_requests.allowed}`],
    ['Sessions and grants', `${org.sessions} and ${org.grants}`],
    ['Records', org.objects.map(({ name, records }) => `${name} ${records}`).join(', ')],
  ];
  fill(
    at('facts'),
    facts.flatMap(([name, value]) => [element('dt', name), element('dd', value)]),
  );
  at('auto-approve').checked = org.auto_approve;
  at('rotation').checked = org.refresh_rotation;
  at('hidden-fields').textContent = org.hidden.length > 0 ? `Hidden: ${org.hidden.join(', ')}` : '';
  at('no-approvals').hidden = org.approvals.length > 0;
  fill(at('approvals'), org.approvals.map(approval));
  if (at('object').options.length === 0) {
    fill(
      at('object'),
      org.objects.map(({ name }) => element('option', name, { selected: name === 'Product2' })),
    );
  }
}

function approval(pending) {
  const item = element('li', `${pending.app} asks for ${pending.scope} `);
  const decide = (decision) => async () => {
    const { location } = await ask('POST', `approvals/${pending.ticket}/${decision}`);
    // The browser that asked is answered in its own window: this opens the way back for it.
    window.open(location, '_blank', 'noopener');
    await refresh();
  };
  item.append(button('Approve', decide('approve')), ' ', button('Deny', decide('deny')));
  return item;
}

function showFaults({ faults }) {
  at('no-faults').hidden = faults.length > 0;
  fill(
    at('faults'),
    faults.map(({ id, pattern, fault, times }) => {
      const known = FAULTS.find(([, { kind }]) => kind === fault.kind);
      const often = times === null ? 'always' : `${times} more`;
      const item = element('li', `${known ? known[0] : fault.kind} at ${pattern}, ${often} `);
      item.append(button('Take back', async () => showFaults(await ask('DELETE', `faults/${id}`))));
      return item;
    }),
  );
}

function showEvents(events) {
  const listening = events.subscribers.map(({ topic, delivered, outstanding }) => `${topic} (${delivered} delivered, ${outstanding} asked for)`);
  const facts = [
    ['Listening', listening.join(', ') || 'nobody'],
    ['Kept', `${events.retained} events of the last 72 hours`],
    ['Delivered in 24 hours', `${events.delivered.used} of ${events.delivered.allowed}`],
    ["The org's clock", `${events.clock.now}, ${events.clock.ahead_ms / 60000} minutes ahead`],
  ];
  fill(
    at('event-facts'),
    facts.flatMap(([name, value]) => [element('dt', name), element('dd', value)]),
  );
  const disturbed = events.planned.map(({ object, fault, times }) => `${fault} for the next ${times} of ${object ?? 'any object'}`);
  if (events.delay_ms > 0) disturbed.push(`Events come ${events.delay_ms} ms after their commits`);
  if (events.silent) disturbed.push('Nothing is sent to anybody');
  disturbed.push(...events.held.map((topic) => `Nothing is sent on ${topic}`));
  at('nothing-disturbed').hidden = disturbed.length > 0;
  fill(
    at('disturbances'),
    disturbed.map((text) => element('li', text)),
  );
  at('selected').textContent = events.selection.map(({ channel, object }) => `${object} on ${channel}`).join(', ');
  fill(
    at('events'),
    events.last.map((event) => element('li', `${event.at} ${event.change_type} ${event.object}, ${event.bytes} bytes`)),
  );
}

async function refresh() {
  showOrg(await ask('GET', 'org'));
  showEvents(await ask('GET', 'events'));
  showFaults(await ask('GET', 'faults'));
  const { requests } = await ask('GET', 'requests');
  fill(
    at('requests'),
    requests.map(({ method, target, status }) => element('li', `${status} ${method} ${target}`)),
  );
}

async function list() {
  const object = at('object').value;
  const { count, records } = await ask('GET', `records/${object}?from=${from}`);
  at('position').textContent = records.length > 0 ? `${from + 1} to ${from + records.length} of ${count}` : `${count} records`;
  fill(
    at('records'),
    records.map((record) => {
      const item = element('li', '');
      item.append(button(`${record.Name ?? record.Id}`, () => open(object, record.Id)));
      return item;
    }),
  );
}

async function open(object, id) {
  const record = await ask('GET', `records/${object}/${id}`);
  opened = { object, id, record };
  at('record-title').textContent = `${object} ${id}`;
  showFields(record);
}

function showFields(record) {
  const fields = Object.entries(record).filter(([name]) => name !== 'Id');
  fill(
    at('fields'),
    fields.map(([name, value]) => {
      const label = element('label', '');
      label.append(element('span', name), element('input', '', { name, value: value ?? '' }));
      return label;
    }),
  );
  const isNew = opened.id === null;
  for (const id of ['save-hidden', 'delete', 'purge', 'trace-note']) at(id).hidden = isNew;
  at('record').hidden = false;
}

/** Only what a person changed is sent: derived fields cannot be written. */
function changes() {
  const changed = {};
  for (const input of at('fields').querySelectorAll('input')) {
    const before = opened.record[input.name];
    if (String(before ?? '') !== input.value) {
      changed[input.name] = typeof before === 'boolean' ? input.value === 'true' : input.value;
    }
  }
  return changed;
}

async function save(how) {
  const { object, id } = opened;
  const path = `records/${object}/${id}`;
  if (how === 'delete') await ask('DELETE', path);
  else if (how === 'purge') await ask('DELETE', `${path}?purge=true`);
  else if (id === null) opened.id = (await ask('POST', `records/${object}`, changes())).id;
  else await ask('PATCH', how === 'hidden' ? `${path}?hidden=true` : path, changes());
  if (how === 'delete' || how === 'purge') at('record').hidden = true;
  else await open(object, opened.id);
  await list();
  await refresh();
}

function start() {
  fill(
    at('fault-kind'),
    FAULTS.map(([name], index) => element('option', name, { value: String(index) })),
  );
  at('fault-kind').onchange = () => {
    at('fault-pattern').value = FAULTS[at('fault-kind').value][2];
  };
  at('fault').onsubmit = (event) => {
    event.preventDefault();
    act(async () => {
      const [, fault] = FAULTS[at('fault-kind').value];
      const body = { pattern: at('fault-pattern').value, fault, times: Number(at('fault-times').value) };
      showFaults(await ask('POST', 'faults', body));
    });
  };
  at('withdraw').onclick = () => act(async () => showFaults(await ask('DELETE', 'faults')));
  at('permission').onsubmit = (event) => {
    event.preventDefault();
    const body = { [event.submitter.value]: at('permission-name').value };
    act(async () => showOrg(await ask('POST', 'settings', body)));
  };
  fill(
    at('disturbance'),
    DISTURBANCES.map(([name], index) => element('option', name, { value: String(index) })),
  );
  fill(
    at('disturbed-object'),
    WITH_EVENTS.map((name) => element('option', name)),
  );
  at('disturb').onsubmit = (event) => {
    event.preventDefault();
    const [, disturbance] = DISTURBANCES[at('disturbance').value];
    const needsObject = 'object' in disturbance || disturbance.kind === 'next_events';
    const body = needsObject ? { ...disturbance, object: at('disturbed-object').value } : disturbance;
    act(async () => showEvents(await ask('POST', 'events/disturb', body)));
  };
  at('undisturb').onclick = () =>
    act(async () => showEvents(await ask('POST', 'events/disturb', { kind: 'take_back' })));
  at('selection').onsubmit = (event) => {
    event.preventDefault();
    const body = {
      channel: at('channel').value,
      object: at('selected-object').value,
      member: event.submitter.value === 'on',
    };
    act(async () => showEvents(await ask('POST', 'events/selection', body)));
  };
  at('load').onsubmit = (event) => {
    event.preventDefault();
    const body = {
      object: 'PricebookEntry',
      field: 'Offer_Text__c',
      changes: Number(at('load-changes').value),
      per_second: Number(at('load-rate').value),
      characters: 250,
    };
    act(() => ask('POST', 'load', body));
  };
  at('clock').onsubmit = (event) => {
    event.preventDefault();
    const body = { ahead_ms: Number(at('clock-ahead').value) * 60000 };
    act(async () => showEvents(await ask('POST', 'clock', body)));
  };
  at('auto-approve').onchange = (event) =>
    act(async () => showOrg(await ask('POST', 'settings', { auto_approve: event.target.checked })));
  at('rotation').onchange = (event) =>
    act(async () => showOrg(await ask('POST', 'settings', { refresh_rotation: event.target.checked })));
  for (const control of document.querySelectorAll('[data-post]')) {
    control.onclick = () => act(async () => showOrg(await ask('POST', control.dataset.post)));
  }
  at('object').onchange = () => {
    from = 0;
    act(list);
  };
  at('choose').onsubmit = (event) => {
    event.preventDefault();
    act(() => open(at('object').value, at('record-id').value.trim()));
  };
  at('new-record').onclick = () =>
    act(async () => {
      const object = at('object').value;
      const { records } = await ask('GET', `records/${object}`);
      const derived = ['Id', 'IsDeleted', 'CreatedDate', 'CreatedById', 'LastModifiedDate', 'LastModifiedById', 'SystemModstamp'];
      const names = Object.keys(records[0] ?? { Name: null }).filter((name) => !derived.includes(name));
      opened = { object, id: null, record: Object.fromEntries(names.map((name) => [name, null])) };
      at('record-title').textContent = `New ${object}`;
      showFields(opened.record);
    });
  at('previous').onclick = () => {
    from = Math.max(0, from - 100);
    act(list);
  };
  at('next').onclick = () => {
    from += 100;
    act(list);
  };
  at('record').onsubmit = (event) => {
    event.preventDefault();
    act(() => save(event.submitter.value));
  };
  act(async () => {
    await refresh();
    await list();
  });
  setInterval(() => act(refresh), 3000);
}

start();
