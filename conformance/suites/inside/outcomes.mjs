// A reporter for node's test runner: one line of JSON for each test and its outcome.
import path from 'node:path';

export default async function* outcomes(source) {
  const names = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      names.length = data.nesting;
      names.push(data.name);
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    if (data.file && data.nesting === 0 && data.name.endsWith(path.basename(data.file))) continue;
    const test = [path.basename(data.file ?? ''), ...names.slice(0, data.nesting), data.name].join(' > ');
    const outcome = data.skip !== undefined ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
    const error = data.details?.error;
    const why = outcome === 'failed' ? String(error?.cause?.message ?? error?.message ?? '').slice(0, 400) : '';
    yield `${JSON.stringify({ test, outcome, why })}\n`;
  }
}
