// Between the shapes of kv.ts and those of etcd's gRPC API as etcd3 types them.

import type { ICompare, IKeyValue, IRequestOp } from 'etcd3';
import { prefixBounds } from './key-bounds.ts';
import type { Compare, KvEntry, Operation } from './kv.ts';

export function fromKeyValue(kv: IKeyValue): KvEntry {
  const entry = {
    key: kv.key.toString('utf8'),
    value: kv.value.toString('utf8'),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    version: Number(kv.version),
  };
  return kv.lease === '0' ? entry : { ...entry, lease: kv.lease };
}

export function toCompare(compare: Compare): ICompare {
  const key = Buffer.from(compare.key, 'utf8');
  switch (compare.target) {
    case 'modRevision':
      return { key, result: 'Equal', target: 'Mod', mod_revision: compare.is };
    case 'createRevision':
      return { key, result: 'Equal', target: 'Create', create_revision: compare.is };
    case 'version':
      return { key, result: 'Equal', target: 'Version', version: compare.is };
    case 'value':
      return { key, result: 'Equal', target: 'Value', value: Buffer.from(compare.is, 'utf8') };
  }
}

export function toRequestOp(operation: Operation): IRequestOp {
  switch (operation.kind) {
    case 'put':
      return {
        request_put: {
          key: Buffer.from(operation.key, 'utf8'),
          value: Buffer.from(operation.value, 'utf8'),
          ...(operation.lease === undefined ? {} : { lease: operation.lease }),
        },
      };
    case 'delete':
      return { request_delete_range: { key: Buffer.from(operation.key, 'utf8') } };
    case 'delete-prefix':
      return { request_delete_range: prefixBounds(operation.prefix) };
    case 'get':
      return { request_range: { key: Buffer.from(operation.key, 'utf8') } };
  }
}
