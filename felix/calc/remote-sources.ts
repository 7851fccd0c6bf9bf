// The shortest way in for endpoints of other nodes: from stored text to what IP sets need of it.
//
//   {"kind":"WorkloadEndpoint", … "labels":{…}, … "ipNetworks":[…],"profiles":[…], … "ports":[…] … }
//                                 └ shape ───┘   └ each its own ┘ └ shape ─────────────────────┘
//
// The endpoints of a namespace come together, and most have the very labels, profiles and ports of one before: their texts
// are the key under which the shape is found again, and only new ones are parsed. A regular expression takes a quarter of
// the time that JSON.parse takes for what is then thrown away.
//
// It follows endpoints as Calico and we write them: compact, fields in Calico's order, no escapes. All others are left to
// remote-workload.ts, and what that does not understand to validation: the outcome is the same, only later.

import { type ResourceId, resourcePrefix } from '../../datastore/model/index.ts';
import { type Prefix, parseInterfaceAddress, prefixOf } from '../../net/prefix.ts';
import { workloadShape } from './inputs.ts';
import type { SourceInput, SourceShape } from './ip-sets.ts';
import { isLabels, isPorts, isTexts } from './remote-workload.ts';

const keyPrefix = resourcePrefix('WorkloadEndpoint');
const MAX_SHAPES = 4096;

const plainEndpoint = ((): RegExp => {
  const text = '"[^"\\\\\\x00-\\x1f]*"';
  const number = '(?:0|[1-9][0-9]*)';
  const listOf = (value: string): string => `\\[(?:${value}(?:,${value})*)?\\]`;
  const objectOf = (value: string): string => `\\{(?:${text}:${value}(?:,${text}:${value})*)?\\}`;
  const texts = listOf(text);
  const labels = objectOf(text);
  const ports = listOf(objectOf(`(?:${text}|${number})`));
  /** After a field comes another one, or the object's end. */
  const more = '(?:,(?=")|(?=\\}))';
  const field = (name: string, value: string): string => `(?:"${name}":(${value})${more})?`;
  const other = (...names: readonly string[]): string =>
    `(?:"(?!(?:${names.join('|')})")\\w+":(?:${text}|${number}|true|false|null|${texts}|${labels})${more})*`;
  const inMetadata = other('labels');
  const inSpec = other('orchestrator', 'node', 'serviceAccountName', 'ipNetworks', 'profiles', 'ports');
  const metadata = [inMetadata, field('labels', labels), inMetadata];
  const spec = [
    ['orchestrator', text],
    ['node', text],
    ['serviceAccountName', text],
    ['ipNetworks', texts],
    ['profiles', texts],
    ['ports', ports],
  ].flatMap(([name = '', value = '']) => [inSpec, field(name, value)]);
  const head = '"kind":"WorkloadEndpoint","apiVersion":"projectcalico\\.org/v3"';
  return new RegExp(`^\\{${head},"metadata":\\{${metadata.join('')}\\},"spec":\\{${spec.join('')}${inSpec}\\}\\}$`);
})();

/** An endpoint's fields as JSON; empty where it does not have them. */
interface Fields {
  readonly labels: string;
  readonly orchestrator: string;
  readonly serviceAccount: string;
  readonly profiles: string;
  readonly ports: string;
}

export class RemoteSources {
  readonly #isLocal: (endpoint: ResourceId, node: string) => boolean;
  readonly #shapes = new Map<string, SourceShape>();

  constructor(isLocal: (endpoint: ResourceId, node: string) => boolean) {
    this.#isLocal = isLocal;
  }

  /** Undefined: it is something else, or of this node, or not plain. */
  read(key: string, text: string): SourceInput | undefined {
    if (!key.startsWith(keyPrefix)) return undefined;
    const slash = key.indexOf('/', keyPrefix.length);
    if (slash <= keyPrefix.length || slash === key.length - 1 || key.indexOf('/', slash + 1) >= 0) return undefined;
    const match = plainEndpoint.exec(text);
    if (!match) return undefined;
    const [, labels = '', orchestrator = '', node = '', serviceAccount = '', networks = '', profiles = '', ports = ''] =
      match;
    if (node === '' || orchestrator === '') return undefined;
    const namespace = key.slice(keyPrefix.length, slash);
    const id: ResourceId = { kind: 'WorkloadEndpoint', namespace, name: key.slice(slash + 1) };
    if (this.#isLocal(id, unquoted(node))) return undefined;
    const prefixes = readNetworks(networks);
    const shape = prefixes && this.#shape(namespace, { labels, orchestrator, serviceAccount, profiles, ports });
    return shape && { shape, prefixes };
  }

  /** Shapes are kept for what comes in one go; after it they would cost memory for nothing. */
  forget(): void {
    this.#shapes.clear();
  }

  #shape(namespace: string, fields: Fields): SourceShape | undefined {
    const { orchestrator, serviceAccount, labels, profiles, ports } = fields;
    // No plain text has a line's end in it.
    const text = `${namespace}\n${orchestrator}\n${serviceAccount}\n${labels}\n${profiles}\n${ports}`;
    const known = this.#shapes.get(text);
    if (known) return known;
    const shape = readShape(namespace, fields);
    if (!shape) return undefined;
    if (this.#shapes.size >= MAX_SHAPES) this.#shapes.clear();
    this.#shapes.set(text, shape);
    return shape;
  }
}

const unquoted = (json: string): string => json.slice(1, -1);

/** Undefined when one of them is not an address with its length: validation decides. */
function readNetworks(json: string): readonly Prefix[] | undefined {
  const prefixes: Prefix[] = [];
  for (let start = json.indexOf('"') + 1; start > 0; ) {
    const end = json.indexOf('"', start);
    const network = parseInterfaceAddress(json.slice(start, end));
    if (!network) return undefined;
    prefixes.push(prefixOf(network.address, network.length));
    start = json.indexOf('"', end + 1) + 1;
  }
  return prefixes;
}

function readShape(namespace: string, fields: Fields): SourceShape | undefined {
  const labels: unknown = parse(fields.labels, '{}');
  const profiles: unknown = parse(fields.profiles, '[]');
  const ports: unknown = parse(fields.ports, '[]');
  if (!isLabels(labels) || !isTexts(profiles) || !isPorts(ports)) return undefined;
  const orchestrator = String(parse(fields.orchestrator, '""'));
  // Parsed, not cut out: a piece of a text keeps the whole text in memory, and labels made of it live long.
  const serviceAccountName = String(parse(fields.serviceAccount, '""'));
  return workloadShape({
    metadata: { namespace, labels },
    spec: {
      ...(orchestrator && { orchestrator }),
      ...(serviceAccountName && { serviceAccountName }),
      profiles,
      ports,
    },
  });
}

/** What the expression has matched is JSON. */
const parse = (json: string, otherwise: string): unknown => JSON.parse(json === '' ? otherwise : json);
