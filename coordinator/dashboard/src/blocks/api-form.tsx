import { useForm, type UseFormReturnType } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { useRef, type FormEvent, type RefObject } from 'react';
import { ApiProblem } from '@fedlora/shared/client';

interface ApiFormOptions<Values, Answer> {
  readonly initialValues: Values;
  readonly submit: (values: Values) => Promise<Answer>;
  readonly onDone?: (answer: Answer) => void;
}

export interface ApiForm<Values, Answer> {
  /** Give `fields.getInputProps('name')` to each input; names are paths, as the API names fields: `privacy.delta`. */
  readonly fields: UseFormReturnType<Values>;
  /** Goes to the form element. */
  readonly formProps: {
    readonly onSubmit: (event: FormEvent) => void;
    readonly ref: RefObject<HTMLFormElement | null>;
  };
  readonly isBusy: boolean;
  /** What the coordinator said that is about no single field; for `Refusal`. */
  readonly error: Error | null;
  readonly answer: Answer | undefined;
  readonly reset: () => void;
}

/**
 * A form whose rules are the coordinator's: what it says of a field stands next to the field, the first of which gets the focus, and
 * the rest above the form.
 */
export function useApiForm<Values extends Record<string, unknown>, Answer>(
  options: ApiFormOptions<Values, Answer>,
): ApiForm<Values, Answer> {
  const fields = useForm<Values>({ initialValues: options.initialValues });
  const form = useRef<HTMLFormElement>(null);
  const sending = useMutation({
    mutationFn: options.submit,
    onSuccess: (answer) => options.onDone?.(answer),
    onError: (error) => {
      const problems = fieldProblemsOf(error);
      fields.setErrors(problems);
      // Once they are drawn.
      window.setTimeout(() => form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus());
    },
  });
  return {
    fields,
    formProps: {
      ref: form,
      onSubmit: (event) => {
        event.preventDefault();
        fields.clearErrors();
        if (!sending.isPending) sending.mutate(fields.getValues());
      },
    },
    isBusy: sending.isPending,
    error: sending.error !== null && isAboutFieldsOnly(sending.error, fields.getValues()) ? null : sending.error,
    answer: sending.data,
    reset: () => {
      fields.reset();
      sending.reset();
    },
  };
}

/** By field; of several about one, the first. */
export function fieldProblemsOf(error: unknown): Record<string, string> {
  if (!(error instanceof ApiProblem)) return {};
  return Object.fromEntries(error.fields.map(({ field, message }) => [field, message] as const).toReversed());
}

/** True if each of its problems stands next to a field of the form. */
function isAboutFieldsOnly(error: Error, values: object): boolean {
  if (!(error instanceof ApiProblem) || error.fields.length === 0) return false;
  return error.fields.every(({ field }) => field.split('.')[0] in values);
}
