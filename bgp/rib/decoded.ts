// A stored attribute set as an object, for reports.

import type { Address } from '../../net/address.ts';
import { AttributeScan } from '../wire/attribute-scan.ts';
import { type PathAttributes, plainContext } from '../wire/attributes.ts';
import { decodeAttributes } from '../wire/update.ts';
import type { AttributeStore } from './attribute-store.ts';

export interface DecodedAttributes {
  readonly attributes: PathAttributes;
  readonly nextHops: readonly Address[];
}

export function attributesOf(store: AttributeStore, id: number): DecodedAttributes {
  const bytes = store.copyOf(id);
  const scan = new AttributeScan();
  scan.scan(bytes, 0, bytes.length, plainContext, false);
  const attributes = decodeAttributes(bytes, scan, plainContext);
  const { nextHop, mpReach } = attributes;
  return { attributes, nextHops: mpReach?.nextHops ?? (nextHop === undefined ? [] : [nextHop]) };
}
