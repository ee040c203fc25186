import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ApiForm } from './api-form.js';
import { Refusal } from './refusal.js';

interface FormProps<Values, Answer> {
  readonly form: ApiForm<Values, Answer>;
  /** On the button: the verb. */
  readonly action: string;
  /** Above the reason, if the coordinator refuses. */
  readonly refusal: string;
  readonly isDestructive?: boolean;
  readonly isDisabled?: boolean;
  readonly onCancel?: () => void;
  readonly testId?: string;
  /** The inputs. */
  readonly children: ReactNode;
}

/** Inputs, why the coordinator refused them, and the button. */
export function Form<Values, Answer>(props: FormProps<Values, Answer>) {
  const { form, action, refusal, isDestructive = false, isDisabled, onCancel, testId, children } = props;
  return (
    <form {...form.formProps} className="form" data-testid={testId} noValidate>
      <Refusal error={form.error} title={refusal} />
      {children}
      <div className="form-actions">
        {onCancel !== undefined && (
          <Button variant="default" onClick={onCancel}>
            Cancel
          </Button>
        )}
        <Button type="submit" loading={form.isBusy} disabled={isDisabled} color={isDestructive ? 'red' : undefined}>
          {action}
        </Button>
      </div>
    </form>
  );
}
