// Loaded before a program that runs vm.Scripts (node --require): when it ends, what V8 has compiled of them goes to the file that
// TWILL_COMPILED names. In the form that the launcher of scripts.mjs reads: a line of JSON, [[file, length], …], and the data.

const { writeFileSync } = require('node:fs');
const { basename } = require('node:path');
const vm = require('node:vm');

const scripts = [];
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    scripts.push([basename(options.filename), this]);
  }
};
process.on('exit', (code) => {
  if (code !== 0) return;
  const compiled = scripts.map(([name, script]) => [name, script.createCachedData()]);
  const index = JSON.stringify(compiled.map(([name, data]) => [name, data.length]));
  writeFileSync(
    process.env.TWILL_COMPILED,
    Buffer.concat([Buffer.from(`${index}\n`), ...compiled.map(([, data]) => data)]),
  );
});
