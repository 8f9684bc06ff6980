// Reads flags as an application does, through OpenFeature and its OFREP provider, and prints a line
// of JSON for each time it has read them all.
//
//   openfeature.mjs MODULES server '{"url", "headers", "context", "reads"}'
//   openfeature.mjs MODULES web    '{"url", "headers", "context", "reads", "pollInterval"}'
//
// A read is `[type, key, default]`. The server's client asks about each flag. The web's client asks
// about all at once; it reads again when it hears of a change, and ends with its input.
import { createRequire } from 'node:module';

const [modules, where, given] = process.argv.slice(2);
const { url, headers, context, reads, pollInterval } = JSON.parse(given);
const require = createRequire(`${modules}/`);

const type = (name) => name[0].toUpperCase() + name.slice(1);
const said = ({ value, reason, variant, errorCode, flagMetadata }) =>
  ({ value, reason, variant, errorCode, metadata: flagMetadata });
const print = (line) => console.log(JSON.stringify(line));

if (where === 'server') {
  const { OpenFeature } = require('@openfeature/server-sdk');
  const { OFREPProvider } = require('@openfeature/ofrep-provider');
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers }));
  const client = OpenFeature.getClient();
  const all = {};
  for (const [kind, key, byDefault] of reads) {
    all[key] = said(await client[`get${type(kind)}Details`](key, byDefault, context));
  }
  print(all);
} else {
  const { OpenFeature, ProviderEvents } = require('@openfeature/web-sdk');
  const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider');
  const statuses = [];
  const fetchImplementation = async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
  const options = { baseUrl: url, headers, pollInterval, fetchImplementation, cacheMode: 'disabled' };
  const client = OpenFeature.getClient();
  const read = (changed) => {
    const all = {};
    for (const [kind, key, byDefault] of reads) {
      all[key] = said(client[`get${type(kind)}Details`](key, byDefault));
    }
    print({ all, changed, statuses: statuses.splice(0) });
  };
  await OpenFeature.setContext(context);
  try {
    await OpenFeature.setProviderAndWait(new OFREPWebProvider(options));
    read([]);
    client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) => read(flagsChanged));
  } catch (error) {
    print({ error: error.code ?? error.name, statuses });
    process.exit();
  }
  process.stdin.resume().on('end', () => process.exit());
}
