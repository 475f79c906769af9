"""Count words: map over texts, flatten, map again, reduce; in threads."""

from collections import Counter

from prefect import Flow, Parameter, flatten, task, unmapped
from prefect.executors import LocalDaskExecutor

TEXTS = ["the quick brown fox", "the lazy dog", "", "the end"]


@task
def words(text):
    return text.split()


@task
def mark(word, longest):
    return word if len(word) <= longest else word[:longest] + "."


@task
def count(words):
    return dict(Counter(words))


@task
def most_common(counts):
    return max(counts.items(), key=lambda item: item[1])


with Flow("word count") as flow:
    texts = Parameter("texts", default=TEXTS)
    each = words.map(texts)
    marked = mark.map(flatten(each), longest=unmapped(4))
    counts = count(marked)
    winner = most_common(counts)

flow.executor = LocalDaskExecutor(scheduler="threads", num_workers=4)

if __name__ == "__main__":
    state = flow.run()
    print([len(child.result) for child in state.result[each].map_states])
    print(sorted(state.result[counts].result))
    print(state.result[winner].result)
