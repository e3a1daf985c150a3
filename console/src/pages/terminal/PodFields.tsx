/** Which pod of a cluster: its names as people know them, checked as the gateway checks them. */
import { SimpleGrid, TextInput } from '@mantine/core';

import { dnsLabelProblem, dnsNameProblem } from '../../lib/names';
import type { Pod } from '../../terminal/shell';

export const NO_POD: Pod = { namespace: 'default', name: '', container: '' };

type Problems = Partial<Record<keyof Pod, string>>;

/** What is wrong, by field. */
export function podProblems({ namespace, name, container }: Pod): Problems {
  const found = {
    namespace: dnsLabelProblem(namespace),
    name: dnsNameProblem(name),
    container: container === '' ? undefined : dnsLabelProblem(container),
  };
  return Object.fromEntries(Object.entries(found).filter(([, problem]) => problem !== undefined));
}

interface Props {
  pod: Pod;
  wrong: Problems;
  onChange: (pod: Pod) => void;
}

export function PodFields({ pod, wrong, onChange }: Props) {
  const field = (key: keyof Pod, read: (typed: string) => string = (typed) => typed) => ({
    value: pod[key],
    error: wrong[key],
    autoComplete: 'off',
    autoCapitalize: 'none',
    spellCheck: false,
    inputWrapperOrder: ['label', 'input', 'description', 'error'] as ('label' | 'input' | 'description' | 'error')[],
    onChange: (event: React.ChangeEvent<HTMLInputElement>) => onChange({ ...pod, [key]: read(event.currentTarget.value.trim()) }),
  });
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }} w="min(100%, 860px)">
      <TextInput label="Namespace" required {...field('namespace')} />
      <TextInput
        label="Pod"
        description="As kubectl get pods lists it"
        required
        data-autofocus
        // As kubectl prints it too.
        {...field('name', (typed) => typed.replace(/^pods?\//, ''))}
      />
      <TextInput label="Container" description="If left empty, the only or usual one" {...field('container')} />
    </SimpleGrid>
  );
}
