// Stripe's own library on the two sides of a webhook.
//
//   node stripe.mjs send URL SECRET…    signs each line of standard input, sends it, and
//                                                  prints the status and the answer as a line
//   node stripe.mjs verify SECRET       reads `HEADER<tab>BODY` lines and prints the ids
//                                                  of the events that the library takes
import { createInterface } from 'node:readline';
import Stripe from 'stripe';

const { webhooks } = new Stripe('sk_test_none');
const [command, ...rest] = process.argv.slice(2);

async function send(line, url, secrets) {
  const sent = JSON.parse(line);
  const { age = 0, ...event } = sent;
  const payload = JSON.stringify(event, null, 2);
  const timestamp = Math.floor(Date.now() / 1000) - age;
  const sign = (secret) => webhooks.generateTestHeaderString({ payload, secret, timestamp });
  const [first, ...others] = secrets.map(sign);
  // While a secret is replaced, there is a signature by each.
  const header = [first, ...others.map((one) => one.split(',')[1])].join(',');
  const headers = { 'Content-Type': 'application/json; charset=utf-8', 'Stripe-Signature': header };
  const answer = await fetch(url, { method: 'POST', headers, body: payload });
  return `${answer.status} ${await answer.text()}`;
}

function verify(line, secret) {
  const [header, body] = line.split('\t');
  return webhooks.constructEvent(body, header, secret).id;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [first, ...others] = rest;
  console.log(command === 'send' ? await send(line, first, others) : verify(line, first));
}
