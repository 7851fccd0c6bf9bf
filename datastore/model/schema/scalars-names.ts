// Names, labels and annotations, by Kubernetes' rules, and selectors.

import { parseSelector } from '../selector/parse.ts';
import { checkedText, describe, text } from './scalars.ts';
import { Refused, type ScalarType } from './types.ts';

const label63 = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?';

/** RFC 1123 subdomain: what resources are called. */
export const dnsSubdomain: ScalarType<string> = text({
  name: 'name',
  pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  maxLength: 253,
  minLength: 1,
  remedy: 'use lower case letters, digits, "-" and ".", with a letter or digit at both ends of each part',
});

/** RFC 1123 label: what namespaces are called. */
export const dnsLabel: ScalarType<string> = text({
  name: 'name',
  pattern: new RegExp(`^${label63}$`),
  maxLength: 63,
  minLength: 1,
  remedy: 'use up to 63 lower case letters, digits and "-", with a letter or digit at both ends',
});

/** `prefix/name` or `name`, as Kubernetes' labels and annotations are called. */
export const labelKey: ScalarType<string> = text({
  name: 'label name',
  pattern: /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
  maxLength: 317,
  remedy: 'use letters, digits, "-", "_" and ".", at most 63, with an optional DNS prefix as in example.com/role',
});

export const labelValue: ScalarType<string> = text({
  name: 'label value',
  pattern: /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/,
  maxLength: 63,
  remedy: 'use at most 63 letters, digits, "-", "_" and ".", with a letter or digit at both ends',
});

/** A label selector; `global()` only where `globalAllowed`. */
export function selector(options: { readonly globalAllowed?: boolean } = {}): ScalarType<string> {
  return checkedText(
    'selector',
    (value) => {
      const parsed = parseSelector(value);
      if (parsed.kind === 'error') {
        return new Refused(
          `${describe(value)} is not a selector: ${parsed.problem} at character ${parsed.position + 1}`,
          parsed.remedy,
        );
      }
      if (parsed.selector.usesGlobal && !options.globalAllowed) {
        return new Refused(
          'global() has no meaning here',
          'use it only as the whole of a rule’s namespaceSelector, to match what is in no namespace',
        );
      }
      return undefined;
    },
    { format: 'selector' },
  );
}
