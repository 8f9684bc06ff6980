// Stripe's own library on the two sides of a webhook. Runs in the folder where it is installed.
//
//   node stripe.mjs send URL SECRET…  signs each line of standard input, sends it, and prints the
//                                     status and the answer as a line; `age` is how many seconds
//                                     ago it pretends to be sent
//   node stripe.mjs verify SECRET     reads lines of `HEADER<tab>BODY` and prints the ids of the
//                                     events, all of which the library must take
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const Stripe = createRequire(`${process.cwd()}/`)('stripe');
const { webhooks } = new Stripe('sk_test_none');
const [command, ...rest] = process.argv.slice(2);

async function send(line, url, secrets) {
  const { age = 0, ...event } = JSON.parse(line);
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
