// The YAML library behind one door that is opened only when YAML is read or written. (Imported dynamically by itself, a
// CommonJS package has no named exports in the bundle.)

export { parse, parseAllDocuments, stringify } from 'yaml';
