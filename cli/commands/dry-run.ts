// Resources over a store that keeps what is written to itself.

import { Resources } from '../../datastore/resources.ts';
import { OverlayStore } from '../overlay-store.ts';

export const dryRunOf = (resources: Resources): Resources => new Resources(new OverlayStore(resources.store));
